package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"dma/common/conf"
	"dma/common/outcome"
	"dma/common/site"
	"dma/common/sysexits"
	"dma/dma-queue/internal/front"
	"dma/dma-queue/internal/spool"
)

// submit takes a message. What it returns is about the message: once that is
// safe, trouble with the runner is only told.
func submit(o front.Options) error {
	if len(o.Recipients) == 0 && !o.FromHeader {
		return errNoRecipients()
	}
	in := front.Input{
		Options: o, Caller: caller(), Message: os.Stdin, Ready: front.StdinReady, Stderr: os.Stderr, Warn: warn,
	}
	if o.Quiet {
		in.Stderr = io.Discard
	}
	s := front.New(site.Spool+"/incoming", time.Now(), front.Random())
	if isRoot() || o.Foreground || o.Verbose {
		if err := s.Begin(); err != nil {
			return err
		}
		if err := leaveRoot(); err != nil {
			s.Abort()
			return err
		}
	}
	for _, option := range o.Ignored {
		warn("option "+option, errors.New("unknown, ignored"))
	}
	var err error
	if in.Config, err = loadConfig(o); err != nil {
		s.Abort()
		return err
	}
	return deliver(s, in)
}

// deliver commits the message, and has it delivered.
func deliver(s *front.Submission, in front.Input) error {
	o := in.Options
	queued := o.Queue || in.Config != nil && in.Config.Defer
	var watch *front.Watch
	if (o.Foreground || o.Verbose) && !queued {
		in.Before = func(id spool.ID) {
			var err error
			if watch, err = front.StartWatch(id); err != nil {
				warn("watch delivery", err)
				fmt.Fprintf(in.Stderr, "sendmail: the delivery cannot be shown: %s\n", outcome.Clean(err.Error()))
			}
		}
	}
	err := s.Take(in)
	if err == nil && o.Verbose {
		fmt.Printf("message %s is accepted\n", s.ID)
	}
	switch {
	case err == nil && queued, err != nil && !s.LeftFile():
		return err
	case err == nil && watch != nil:
		if follow(s, in, watch) {
			return nil
		}
	}
	if werr := front.Wake(); werr != nil && err == nil {
		warn("wake queue runner", werr)
		fmt.Fprintf(in.Stderr, "sendmail: message %s is accepted, but nobody delivers it now: %v\n", s.ID, werr)
	}
	return err
}

// follow shows the first try of a message. False: it may be that nobody knows of
// the message.
func follow(s *front.Submission, in front.Input, watch *front.Watch) bool {
	var show *front.Progress
	if in.Options.Verbose {
		width := front.TerminalWidth(os.Stdout)
		if term := os.Getenv("TERM"); term == "" || term == "dumb" {
			width = 0
		}
		show = front.NewProgress(os.Stdout, width, time.Now)
	}
	err := watch.Follow(show, s.Signals())
	if err == nil {
		return true
	}
	fmt.Fprintf(in.Stderr, "sendmail: %s\n", outcome.Clean(err.Error()))
	var gone *front.Failure // else it was given up from here
	return !errors.As(err, &gone)
}

// serveSMTP takes messages by SMTP.
func serveSMTP(o front.Options) error {
	config, err := loadConfig(o)
	if err != nil {
		return err
	}
	wake := func() {
		if err := front.Wake(); err != nil {
			warn("wake queue runner", err)
		}
	}
	if o.Queue || config != nil && config.Defer {
		wake = func() {}
	}
	return front.ServeSMTP(front.SMTPInput{
		Options: o, Config: config, Incoming: site.Spool + "/incoming", In: os.Stdin, Out: os.Stdout,
		Now: time.Now, Random: front.Random(), Wake: wake, Warn: warn,
	})
}

// caller is who calls, before root becomes somebody else.
func caller() front.Caller {
	return front.Caller{
		UID: uint32(os.Getuid()), Email: os.Getenv("EMAIL"), Logname: os.Getenv("LOGNAME"), User: os.Getenv("USER"),
		PasswordFile: site.Passwd,
	}
}

func configPath(o front.Options) string {
	if o.ConfigFile != "" {
		return o.ConfigFile
	}
	return site.Conf + "/dma.conf"
}

// loadConfig reads the configuration. It is nil if the usual file cannot be read,
// which is no reason to lose mail. The runner logs the warnings.
func loadConfig(o front.Options) (*conf.Config, error) {
	config, _, err := conf.Load(configPath(o))
	if err == nil && o.ConfigFile != "" { // one that was asked for has to be there
		_, err = os.Stat(o.ConfigFile)
	}
	switch {
	case err == nil:
		return config, nil
	case o.ConfigFile != "":
		return nil, &front.Failure{Code: sysexits.Config, Err: fmt.Errorf("read configuration: %w", err)}
	}
	warn("read configuration", err)
	return nil, nil
}
