/* How the grace-period thread sleeps: src/domain/gp_thread, src/sys/{sleep_state,event}.rs,
 * src/reader/record.rs.
 *
 * CALLERS threads queue ROUNDS callbacks each. FORCERS threads (0 or 1) queue one and force. If
 * LEAVERS is 1 or 2, a waiter asks for a grace period, and so many sections block it. The sections
 * are owned words of one record, and one section at a time is asked to wake the sleeper. Callbacks
 * that are not forced may wait for the interval, in which the thread naps. The model has no clock
 * that ends a nap, so each event that must end a nap has to do so without the clock.
 *
 * When no process can move any more, the thread must have noticed every event (the monitor), and
 * every process except the sleeper must have come to its end (no invalid end states). ci/spin.sh
 * has the faults. */

#ifndef CALLERS
#define CALLERS 1
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif

#ifndef FORCERS
#define FORCERS 1
#endif
#ifndef LEAVERS
#define LEAVERS 2
#endif

#define QUEUES (CALLERS + FORCERS)
#define SLEEP_STATE 0 /* the sleep state */
#define EVENT 1
#define FORCE 2
#define WANTED 3
#define WAKE_REQUESTED 4 /* wake_requested: 0, or a word */
#define WORD 5 /* two */
#define QUEUE 7
#define VARIABLES (QUEUE + QUEUES + 1)
#define DEPTH 3
/* The thread, the callers and the forcer, the leavers, the waiter. */
#if LEAVERS == 0
#define CPUS (1 + QUEUES)
#else
#define CPUS (2 + QUEUES + LEAVERS)
#endif
#include "tso.pml"

byte collected[QUEUES + 1];
bool napping, woken;

/* Event::set and Event::reset, without the sleeper's own bit. */
#define SET SWAP(old, EVENT, 1)
#define RESET SWAP(old, EVENT, 0)

/* Domain::kick. */
inline KICK()
{
    LIGHT;
#ifdef REQUEST_LOOKS_AT_SLEEP_STATE
    LOAD(old, SLEEP_STATE);
    if
    :: old != AWAKE -> SET
    :: else
    fi
#else
    SET
#endif
}

/* Rcu::enqueue_counted, SleepState::rouse. */
inline CALL(queue, number)
{
    STORE(QUEUE + queue, number);
    LIGHT;
    LOAD(old, SLEEP_STATE);
    if
    :: old != AWAKE ->
        CAS(old, SLEEP_STATE, ASLEEP, AWAKE);
        if
        :: old -> SET
        :: else
        fi
    :: else
    fi
}

proctype caller(byte me; byte queue)
{
    byte scan, old, n;
    do
    :: n < ROUNDS -> n++; CALL(queue, n)
    :: else -> break
    od
}

proctype forcer(byte me; byte queue)
{
    byte scan, old;
    CALL(queue, ROUNDS);
    SWAP(old, FORCE, 1);
    KICK()
}

proctype waiter(byte me)
{
    byte scan, old;
    SWAP(old, WANTED, 1);
    KICK();
    woken
}

/* Record::leave_owned. */
proctype leaver(byte me; byte word)
{
    byte scan, old;
    STORE(word, 0);
    LIGHT;
    LOAD(old, WAKE_REQUESTED);
    if
    :: old == word ->
#ifdef ASKED_TAKEN_AFTER_THE_WAKE
        SET;
        STORE(WAKE_REQUESTED, 0)
#else
        SWAP(old, WAKE_REQUESTED, 0);
        if
        :: old -> SET
        :: else
        fi
#endif
    :: else
    fi
}

/* Sets `found` if a callback is queued and not collected. */
inline LOOK_AT_QUEUES(found)
{
    found = false;
    n = 0;
    do
    :: n < QUEUES ->
        LOAD(old, QUEUE + n);
        found = found || old != collected[n];
        n++
    :: else -> n = 0; break
    od
}

/* Engine::request_wake, of any section that blocks the grace period. */
inline ASK_HOLDOUT()
{
    if
    :: holdouts ->
        LOAD(a, WORD);
        LOAD(b, WORD + 1);
        if
        :: a -> STORE(WAKE_REQUESTED, WORD)
        :: b -> STORE(WAKE_REQUESTED, WORD + 1)
        :: !a && !b
        fi;
        a = 0;
        b = 0
    :: else
    fi
}

inline FALL_ASLEEP()
{
    if
    :: !nap -> STORE(SLEEP_STATE, ASLEEP)
    :: else
    fi
}

proctype gp_thread(byte me)
{
    byte scan, old, n, a, b;
    bool forced, wanted, queued, due, worked, nap, holdouts, up, served;
    do
    ::
#ifndef RESET_LATE
        RESET;
#endif
        /* A turn. */
        worked = false;
#ifdef COLLECTS_BEFORE_REQUESTS
        LOOK_AT_QUEUES(queued);
        SWAP(forced, FORCE, 0);
#else
        SWAP(forced, FORCE, 0);
        LOOK_AT_QUEUES(queued);
#endif
        LOAD(wanted, WANTED);
        due = false;
        if
        :: queued -> due = true
        :: queued && !forced
        :: !queued
        fi;
        if
        :: due ->
            worked = true;
            n = 0;
            do
            :: n < QUEUES -> LOAD(old, QUEUE + n); collected[n] = old; n++
            :: else -> n = 0; break
            od;
            queued = false
        :: else
        fi;
        holdouts = wanted && !served;
        if
        :: holdouts ->
            LOAD(a, WORD);
            LOAD(b, WORD + 1);
            if
            :: !a && !b -> served = true; woken = true; worked = true
            :: else
            fi;
            a = 0;
            b = 0
        :: else
        fi;
        forced = false;
        due = false;
        if
        :: !worked ->
            /* Domain::sleep. */
            nap = queued;
            up = false;
#ifndef ASLEEP_LATE
            FALL_ASLEEP();
#endif
#ifndef ASKED_LATE
            ASK_HOLDOUT();
#endif
            if
            :: !nap || holdouts -> HEAVY
            :: else
            fi;
#ifdef ASLEEP_LATE
            FALL_ASLEEP();
#endif
#ifdef ASKED_LATE
            ASK_HOLDOUT();
#endif
#ifndef NO_LOOK
            LOAD(old, FORCE);
            up = up || old;
            LOAD(old, WANTED);
            up = up || (old && !wanted);
            if
            :: !nap -> LOOK_AT_QUEUES(queued); up = up || queued
            :: else
            fi;
            if
            :: holdouts ->
                LOAD(a, WORD);
                LOAD(b, WORD + 1);
                LOAD(old, WAKE_REQUESTED);
#ifdef UNASKED_SLEPT_ON
                up = up || (!a && !b);
#else
                up = up || !((a && old == WORD) || (b && old == WORD + 1));
#endif
                a = 0;
                b = 0
            :: else
            fi;
#endif
#ifdef RESET_LATE
            RESET;
#endif
            queued = false;
            worked = false;
            old = 0;
            if
            :: !up ->
                napping = nap;
                nap = false;
                holdouts = false;
                wanted = false;
end_sleep:
                mem[EVENT];
                napping = false
            :: else
            fi;
            STORE(SLEEP_STATE, AWAKE)
        :: else
        fi
    od
}

/* When no process can move. */
proctype monitor()
{
    byte n;
    timeout ->
    assert(woken || LEAVERS == 0);
    assert(!mem[FORCE]);
#if FORCERS != 0
    assert(collected[CALLERS] == ROUNDS);
#endif
    do
    :: n < CALLERS -> assert(collected[n] == ROUNDS || napping); n++
    :: else -> break
    od
}

init
{
    byte n;
    atomic {
        do
        :: n < CPUS -> run processor(n); n++
        :: else -> break
        od;
        n = 0;
        run gp_thread(0);
        do
        :: n < CALLERS -> run caller(1 + n, n); n++
        :: else -> break
        od;
        n = 0;
#if FORCERS != 0
        run forcer(1 + CALLERS, CALLERS);
#endif
#if LEAVERS != 0
        do
        :: n < LEAVERS -> mem[WORD + n] = 1; run leaver(1 + QUEUES + n, WORD + n); n++
        :: else -> break
        od;
        run waiter(1 + QUEUES + LEAVERS);
#endif
        run monitor()
    }
}
