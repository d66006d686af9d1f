/* How the grace-period thread stops, goes on instead, and is started again:
 * src/domain/{shutdown,synchronize}.rs, src/domain/gp_thread, src/sys/sleep_state.rs.
 *
 * CALLERS threads queue ROUNDS callbacks each. WAITERS threads (0 or 1) ask for a grace period.
 * ASKERS threads ask the thread to stop, and wait until it has tried to. Two threads must never
 * take turns at once (turning). When no process can move any more, the thread must have noticed
 * every event, and every process except a sleeper must have come to its end. ci/spin.sh has the
 * faults. */

#ifndef CALLERS
#define CALLERS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef WAITERS
#define WAITERS 1
#endif
#ifndef ASKERS
#define ASKERS 1
#endif

#define SLEEP_STATE 0 /* the sleep state */
#define EVENT 1
#define WANTED 2
#define STOPS 3 /* the threads that ask, as bits; under a lock */
#define QUEUE 4
#define VARIABLES (QUEUE + CALLERS + 1)
#define DEPTH 2
/* The callers, the waiter and the askers; the first thread, and each thread that may be started. */
#define THREADS (CALLERS * ROUNDS + WAITERS + 1)
#define FIRST_THREAD (CALLERS + WAITERS + ASKERS)
#define CPUS (FIRST_THREAD + THREADS)
#include "tso.pml"

byte collected[CALLERS + 1];
bool served, told[ASKERS];
byte started, turning;

#define SET SWAP(old, EVENT, 1)

/* SleepState::take_over. */
inline TAKE_OVER()
{
#ifdef RESTART_BY_STORE
    LOAD(old, SLEEP_STATE);
    old = (old == STOPPED);
    if
    :: old -> STORE(SLEEP_STATE, AWAKE)
    :: else
    fi
#else
    CAS(old, SLEEP_STATE, STOPPED, AWAKE)
#endif
}

/* Domain::spawn. */
inline SPAWN()
{
    atomic {
        assert(started < THREADS);
        run gp_thread(FIRST_THREAD + started);
        started++
    }
}

proctype caller(byte me)
{
    byte scan, old, n;
    do
    :: n < ROUNDS ->
        n++;
        STORE(QUEUE + me, n);
        LIGHT;
        /* SleepState::is_awake, Domain::rouse. */
        LOAD(old, SLEEP_STATE);
        if
        :: old != AWAKE ->
            CAS(old, SLEEP_STATE, ASLEEP, AWAKE);
            if
            :: old -> SET
            :: else ->
                TAKE_OVER();
                if
                :: old -> SPAWN()
                :: else
                fi
            fi
        :: else
        fi
    :: else -> break
    od
}

/* Domain::want and Domain::kick. */
proctype waiter(byte me)
{
    byte scan, old;
    SWAP(old, WANTED, 1);
    LIGHT;
    LOAD(old, SLEEP_STATE);
#ifndef REQUEST_STARTS_NOBODY
    if
    :: old == STOPPED ->
        TAKE_OVER();
        if
        :: old -> SPAWN()
        :: else
        fi
    :: else
    fi;
#endif
    SET;
    served
}

/* Shutdown::poll, after the drain. */
proctype asker(byte me; byte number)
{
    byte scan, old;
#ifdef ASKER_LOOKS_FIRST
    LOAD(old, SLEEP_STATE);
    if
    :: old == STOPPED -> goto done
    :: else
    fi;
#endif
    d_step {
        buffer[me].length == 0 ->
        mem[STOPS] = mem[STOPS] | (1 << number)
    }
    LIGHT;
    SET;
    LOCKED_LOAD(old, STOPS);
    if
    :: !(old & (1 << number)) -> goto done
    :: else
    fi;
#if !defined(ASKER_LOOKS_NOT) && !defined(ASKER_LOOKS_FIRST)
    LOAD(old, SLEEP_STATE);
    if
    :: old == STOPPED -> goto done
    :: else
    fi;
#endif
    told[number];
done:
    skip
}

/* Domain::stop_attempted. */
inline STOP_TRIED()
{
    d_step {
        buffer[me].length == 0 ->
        n = 0;
        do
        :: n < ASKERS ->
            told[n] = told[n] || (mem[STOPS] & (1 << n));
            n++
        :: else -> break
        od;
        n = 0;
        mem[STOPS] = 0
    }
}

/* Domain::must_stay_up. */
inline LOOK()
{
    found = false;
#ifndef NO_LOOK
    do
    :: n < CALLERS ->
        LOAD(old, QUEUE + n);
        found = found || old != collected[n];
        n++
    :: else -> n = 0; break
    od;
    LOAD(old, WANTED);
    found = found || (old && !served);
    old = 0
#endif
}

proctype gp_thread(byte me)
{
    byte scan, old, n;
    bool found, worked;
    do
    ::
        SWAP(old, EVENT, 0);
        d_step { turning++; assert(turning == 1) }
        /* A turn, under the thread's lock. */
        buffer[me].length == 0;
        worked = false;
        do
        :: n < CALLERS ->
            LOAD(old, QUEUE + n);
            worked = worked || old != collected[n];
            collected[n] = old;
            n++
        :: else -> n = 0; break
        od;
        LOAD(old, WANTED);
        if
        :: old && !served -> served = true; worked = true
        :: else
        fi;
        d_step { turning--; old = 0 }
        if
        :: !worked ->
            /* Domain::sleep. */
            LOCKED_LOAD(old, STOPS);
            if
            :: old ->
                /* Domain::stop. */
                STORE(SLEEP_STATE, STOPPED);
                HEAVY;
                LOOK();
                if
                :: !found -> break
                :: else ->
                    found = false;
#ifdef UNDO_BY_STORE
                    STORE(SLEEP_STATE, AWAKE);
#else
                    CAS(old, SLEEP_STATE, STOPPED, AWAKE);
#ifndef LOSER_GOES_ON
                    if
                    :: !old -> break
                    :: else
                    fi;
#endif
#endif
                    STOP_TRIED()
                fi
            :: else ->
                STORE(SLEEP_STATE, ASLEEP);
                HEAVY;
                LOOK();
                if
                :: !found ->
end_sleep:
                    mem[EVENT]
                :: else -> found = false
                fi;
                STORE(SLEEP_STATE, AWAKE)
            fi
        :: else -> worked = false
        fi
    od;
    /* Gone. */
    STOP_TRIED()
}

/* When no process can move. */
proctype monitor()
{
    byte n;
    timeout ->
    assert(served || WAITERS == 0);
    do
    :: n < CALLERS -> assert(collected[n] == ROUNDS); n++
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
        do
        :: n < CALLERS -> run caller(n); n++
        :: else -> break
        od;
        n = 0;
#if WAITERS != 0
        run waiter(CALLERS);
#endif
        do
        :: n < ASKERS -> run asker(CALLERS + WAITERS + n, n); n++
        :: else -> break
        od;
        started = 1;
        run gp_thread(FIRST_THREAD);
        run monitor()
    }
}
