/*
 * Nobody's mail waits unseen (DESIGN 6).
 *
 * The model has the steps of four programs that matter for who wakes whom: front
 * ends that commit a message each (dma-queue), the runners that take them up,
 * the dma-spawn that starts a runner and starts it again when it is killed, and
 * the kernel, which gives back what a killed process held. Any runner and any
 * front end may be killed between any two of its steps.
 *
 * Claim: when nothing can move any more, every message whose front end reported
 * success has been taken up. No process is left then but at most one runner, which
 * rests because of deferred mail; otherwise lock and socket are free.
 *
 * scripts/model/run checks that it holds, and that it does not when one piece of
 * the protocol is left out:
 *
 *   -DBROKEN=1  a runner looks for more mail before it closes its listener, not after
 *   -DBROKEN=2  a runner that finds the lock held leaves at once
 *   -DBROKEN=3  dma-spawn does not start a killed runner again
 *   -DBROKEN=4  a front end wakes the runner before its message is committed
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef FRONTS
#define FRONTS 3        /* front ends, with a message each */
#endif
#ifndef RUNNER_KILLS
#define RUNNER_KILLS 1
#endif
#ifndef FRONT_KILLS
#define FRONT_KILLS 1
#endif
#define SLOTS (FRONTS + 1)      /* front end n starts dma-spawn n, if it does; 0 is nobody */

/* A file in incoming. While it is WRITING its front end holds a lock on it, or it is empty. */
mtype = { NONE, WRITING, COMMITTED, TAKEN };

mtype file[SLOTS] = NONE;
bool success[SLOTS];            /* the front end has exited with 0 */
byte lock;                      /* run/lock: whose runner has it */
byte listener;                  /* run/control: whose runner's socket is there and listens */
bool wake[SLOTS];               /* somebody has connected to that runner's socket */
byte turn;                      /* which dma-spawn may start its killed runner again */

bool running[SLOTS];            /* this dma-spawn has a runner */
bool runnerKilled[SLOTS];       /* and that has got SIGKILL, and will take no further step */
bool writing[SLOTS];
bool frontKilled[SLOTS];

inline list() {                 /* one look into the directory; it does not see locks */
	d_step {
		seen = 0;
		i = 1;
		do
		:: i < SLOTS -> seen = seen | ((file[i] != NONE && file[i] != TAKEN) << i); i++
		:: else -> break
		od;
		i = 0
	}
}

/*
 * Then each file that was seen is tried. What is locked or incomplete is left
 * alone. One moment for all of them is enough: the claim is about each file by
 * itself, and the moment may be any after the list.
 */
inline each(what) {
	d_step {
		found = false;
		i = 1;
		do
		:: i < SLOTS ->
			if
			:: (seen & (1 << i)) && file[i] == COMMITTED -> found = true; file[i] = what
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		seen = 0
	}
}

/* dma-spawn, and one after the other the runners that it starts */
proctype spawn(byte me)
{
	byte i, seen;
	bool found;
end:	/* it may end here: never started */
	running[me];
start:
	running[me] = true;
	{
		/* lock */
		do
		:: atomic { lock == 0 -> lock = me }; break
		:: lock != 0 ->
#if BROKEN == 2
			goto ended
#else
			if
			:: atomic { listener != 0 -> wake[listener] = true }; goto ended
			:: lock == 0    /* it was ending, or has died */
			fi
#endif
		od;
listen:
		atomic { assert(lock == me); listener = me };
		/* scan, and pick up what is committed */
scan:
		wake[me] = false;
		list();
		each(TAKEN);
		if
		:: true                 /* nothing left; a connection that comes now is overlooked */
		:: true ->              /* deferred mail is left: rest */
end_rest:		wake[me];
			goto scan
		fi;
		/* close the listener, scan again */
#if BROKEN != 1
		atomic { listener = 0; wake[me] = false };
#endif
		list();
		each(COMMITTED);
		if
		:: found -> found = false; goto listen
		:: else
		fi;
#if BROKEN == 1
		atomic { listener = 0; wake[me] = false };
#endif
		/* unlock */
		lock = 0;
ended:
		running[me] = false
	} unless { runnerKilled[me] };

	if
	:: atomic { runnerKilled[me] -> running[me] = false; runnerKilled[me] = false; seen = 0; found = false };
		/* the kernel closes its descriptors, in no order that we rely on */
		if
		:: listener = (listener == me -> 0 : listener);
			atomic { lock = (lock == me -> 0 : lock); wake[me] = false }
		:: lock = (lock == me -> 0 : lock);
			atomic { listener = (listener == me -> 0 : listener); wake[me] = false }
		fi;
#if BROKEN != 3
		/* one dma-spawn waits and tries again, the others leave it to that one */
		if
		:: atomic { turn == 0 -> turn = me }; turn = 0; goto start
		:: turn != 0
		fi
#endif
	:: else
	fi
}

proctype front(byte me)
{
	writing[me] = true;
	{
		file[me] = WRITING;
#if BROKEN != 4
		file[me] = COMMITTED;   /* complete, synced, and unlocked */
#endif
		if
		:: atomic { listener != 0 -> wake[listener] = true }
		:: atomic { listener == 0 -> running[me] = true }
		fi;
#if BROKEN == 4
		file[me] = COMMITTED;
#endif
		atomic { success[me] = true; writing[me] = false }
	} unless { frontKilled[me] };

	if
	:: atomic { frontKilled[me] && file[me] == WRITING ->
		writing[me] = false;
		if
		:: file[me] = COMMITTED /* it came as far as that, but said so to nobody */
		:: file[me] = NONE      /* incomplete: no runner takes it */
		fi }
	:: else
	fi
}

/* Front ends, and what they start, are alike: if one is killed, let it be number 1. */
proctype killer()
{
	byte runners, fronts;
	do
	:: atomic { runners < RUNNER_KILLS && running[1] -> runnerKilled[1] = true; runners++ }
#if RUNNER_KILLS > 1
	:: atomic { runners < RUNNER_KILLS && running[2] -> runnerKilled[2] = true; runners++ }
#endif
	:: atomic { fronts < FRONT_KILLS && writing[1] -> frontKilled[1] = true; fronts++ }
	:: break
	od
}

init
{
	byte n;
	atomic {
		for (n : 1 .. FRONTS) { run spawn(n); run front(n) }
		run killer()
	}
	timeout -> atomic {
		assert(lock == listener && turn == 0);
		for (n : 1 .. FRONTS) {
			assert(!success[n] || file[n] == TAKEN);
			assert(!running[n] || lock == n && !wake[n])    /* resting */
		}
	}
}
