/* x86-TSO for Promela: memory, a store buffer for each processor, and the two fences of
 * src/sys/barrier.rs.
 *
 * A plain store waits in its processor's buffer, first in, first out. A load looks into its own
 * buffer first. Read-modify-writes and fences wait until the buffer is empty. The process-wide
 * barrier waits until each other buffer has been empty once. This is the interrupt, because the
 * process that empties a buffer can always go on. With -DFENCE both fences are fence(SeqCst).
 *
 * A process that uses these macros has `byte me` (its processor) and `byte scan`. Include this
 * file after the definitions of VARIABLES, CPUS and DEPTH. */

byte mem[VARIABLES];
typedef Buffer { byte at[DEPTH]; byte value[DEPTH]; byte length };
Buffer buffer[CPUS];

proctype processor(byte n)
{
    byte scan;
end:
    do
    :: d_step {
        buffer[n].length > 0 ->
        mem[buffer[n].at[0]] = buffer[n].value[0];
        scan = 1;
        do
        :: scan < buffer[n].length ->
            buffer[n].at[scan - 1] = buffer[n].at[scan];
            buffer[n].value[scan - 1] = buffer[n].value[scan];
            scan++
        :: else -> break
        od;
        buffer[n].length--;
        buffer[n].at[buffer[n].length] = 0;
        buffer[n].value[buffer[n].length] = 0;
        scan = 0
    }
    od
}

inline LOAD(register, variable)
{
    d_step {
        register = mem[variable];
        scan = 0;
        do
        :: scan < buffer[me].length ->
            if
            :: buffer[me].at[scan] == (variable) -> register = buffer[me].value[scan]
            :: else
            fi;
            scan++
        :: else -> break
        od;
        scan = 0
    }
}

inline STORE(variable, content)
{
    d_step {
        buffer[me].length < DEPTH ->
        buffer[me].at[buffer[me].length] = variable;
        buffer[me].value[buffer[me].length] = content;
        buffer[me].length++
    }
}

/* A locked instruction, or one step under a lock. */
inline SWAP(old, variable, content)
{
    d_step {
        buffer[me].length == 0 ->
        old = mem[variable];
        mem[variable] = content
    }
}

/* A look under a lock. */
inline LOCKED_LOAD(register, variable)
{
    d_step {
        buffer[me].length == 0 ->
        register = mem[variable]
    }
}

inline CAS(won, variable, seen, content)
{
    d_step {
        buffer[me].length == 0 ->
        won = (mem[variable] == seen);
        if
        :: won -> mem[variable] = content
        :: else
        fi
    }
}

#ifdef FENCE
#define LIGHT_FENCE buffer[me].length == 0
#define HEAVY_FENCE buffer[me].length == 0
#else
#define LIGHT_FENCE skip
#define HEAVY_FENCE \
    buffer[me].length == 0; \
    do \
    :: scan < CPUS -> buffer[scan].length == 0; scan++ \
    :: else -> scan = 0; break \
    od
#endif

#if defined(NO_LIGHT)
#define LIGHT skip
#else
#define LIGHT LIGHT_FENCE
#endif

/* NO_HEAVY leaves the heavy fence out. LIGHT_FOR_HEAVY pairs two light fences. */
#if defined(NO_HEAVY)
#define HEAVY skip
#elif defined(LIGHT_FOR_HEAVY)
#define HEAVY LIGHT_FENCE
#else
#define HEAVY HEAVY_FENCE
#endif

/* States of the consumer, src/sys/sleep_state.rs. */
#define AWAKE 0
#define ASLEEP 1
#define STOPPED 2
