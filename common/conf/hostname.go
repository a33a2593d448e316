package conf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"dma/common/mailaddr"
)

// mailnameFile has the host's name in mail on Debian.
const mailnameFile = "/etc/mailname"

// Hostname is the name of this host in mail: MAILNAME, or else what the kernel
// says if that has a dot, or else /etc/mailname, or else what the kernel says.
func (c *Config) Hostname() string {
	if c.hostname != "" {
		return c.hostname
	}
	name, _ := hostname(c.MailName, mailnameFile, os.Hostname) // Load warns
	return name
}

// IsLocalDomain reports whether mail for domain stays on this host: no domain at
// all, localhost, Hostname, and LocalDomains, in whatever case and with or without
// a final dot.
func (c *Config) IsLocalDomain(domain string) bool {
	domain = strings.TrimSuffix(domain, ".")
	if domain == "" || strings.EqualFold(domain, "localhost") || strings.EqualFold(domain, c.Hostname()) {
		return true
	}
	for _, d := range c.LocalDomains {
		if strings.EqualFold(domain, d) {
			return true
		}
	}
	return false
}

// hostname always finds a name; the error says why it is not the one that mailName asks for.
func hostname(mailName, file string, kernel func() (string, error)) (string, error) {
	var err error
	if mailName != "" {
		name := mailName
		if strings.HasPrefix(mailName, "/") {
			name, err = firstLine(mailName)
		}
		if err == nil {
			return name, nil
		}
	}
	name, kernelErr := kernel()
	if kernelErr != nil || !validHost(name) {
		name = "localhost"
	}
	if !strings.Contains(name, ".") {
		if n, err := firstLine(file); err == nil {
			name = n
		}
	}
	return name, err
}

// firstLine is the host name in the first line of a file.
func firstLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, mailaddr.MaxAddr)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	if line = strings.TrimSpace(line); !validHost(line) {
		return "", fmt.Errorf("read %s: %q is no host name", path, line)
	}
	return line, nil
}
