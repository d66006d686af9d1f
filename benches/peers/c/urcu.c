/*
 * The work of src/rows with liburcu, compiled once per flavour. The loops are in C, so that only
 * the inlined fast path is timed. This file is our own code; it includes liburcu's headers.
 */
#define _LGPL_SOURCE
#define URCU_INLINE_SMALL_FUNCTIONS
/* The plain names (rcu_read_lock, ..) stand for either flavour. */
#define URCU_API_MAP

#if defined(PEERS_MEMB)
#include <urcu/urcu-memb.h>
#define OPS peers_urcu_memb
extern int urcu_memb_has_sys_membarrier;
#define HAS_MEMBARRIER urcu_memb_has_sys_membarrier
#elif defined(PEERS_BP)
#include <urcu/urcu-bp.h>
#define OPS peers_urcu_bp
extern int urcu_bp_has_sys_membarrier;
#define HAS_MEMBARRIER urcu_bp_has_sys_membarrier
#else
#error "pick a flavour"
#endif

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* The value that writers replace: rcu_head and value in one block, as is usual with liburcu. */
struct node {
	struct rcu_head head;
	uint64_t value;
};

struct cell {
	struct node *current;
};

/* A callback that runs Rust code. */
struct job {
	struct rcu_head head;
	void (*run)(void *);
	void *with;
};

/* Reads a value into a register, as `consume` does in Rust. */
static inline void consume(uint64_t value)
{
	__asm__ volatile("" : : "r"(value) : "memory");
}

static struct node *node_new(uint64_t value)
{
	struct node *node = malloc(sizeof(*node));

	if (!node)
		abort();
	node->value = value;
	return node;
}

static void node_free(struct rcu_head *head)
{
	free(caa_container_of(head, struct node, head));
}

static void nothing(struct rcu_head *head)
{
	consume((uintptr_t)head);
}

static void thread_begin(void)
{
	rcu_register_thread();
}

static void thread_end(void)
{
	rcu_unregister_thread();
}

static struct cell *cell_new(void)
{
	struct cell *cell = malloc(sizeof(*cell));

	if (!cell)
		abort();
	cell->current = node_new(1);
	return cell;
}

/* All readers and writers have ended. */
static void cell_free(struct cell *cell)
{
	free(cell->current);
	free(cell);
}

static void read_loop(uint64_t n, struct cell *cell)
{
	for (uint64_t i = 0; i < n; i++) {
		rcu_read_lock();
		consume(rcu_dereference(cell->current)->value);
		rcu_read_unlock();
	}
}

static void nested_loop(uint64_t n)
{
	rcu_read_lock();
	for (uint64_t i = 0; i < n; i++) {
		rcu_read_lock();
		consume(i);
		rcu_read_unlock();
	}
	rcu_read_unlock();
}

static void load_loop(uint64_t n, struct cell *cell)
{
	rcu_read_lock();
	for (uint64_t i = 0; i < n; i++)
		consume(rcu_dereference(cell->current)->value);
	rcu_read_unlock();
}

static void read_until(struct cell *cell, const uint8_t *stop)
{
	while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
		rcu_read_lock();
		consume(rcu_dereference(cell->current)->value);
		rcu_read_unlock();
	}
}

static void replace_loop(uint64_t n, struct cell *cell)
{
	for (uint64_t i = 0; i < n; i++) {
		struct node *old = rcu_xchg_pointer(&cell->current, node_new(i));

		call_rcu(&old->head, node_free);
	}
}

/* Allocates the heads of `n` callbacks that do nothing. */
static struct rcu_head *heads_new(uint64_t n)
{
	struct rcu_head *heads = calloc(n, sizeof(*heads));

	if (!heads)
		abort();
	/* The writes make the system provide the pages now. */
	for (uint64_t i = 0; i < n; i++)
		heads[i].func = nothing;
	return heads;
}

static void heads_free(struct rcu_head *heads)
{
	free(heads);
}

static void call_loop(uint64_t n, struct rcu_head *heads)
{
	for (uint64_t i = 0; i < n; i++)
		call_rcu(&heads[i], nothing);
}

static void retire_loop(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		call_rcu(&node_new(i)->head, node_free);
}

static void job_run(struct rcu_head *head)
{
	struct job *job = caa_container_of(head, struct job, head);
	void (*run)(void *) = job->run;
	void *with = job->with;

	free(job);
	run(with);
}

static void call(void (*run)(void *), void *with)
{
	struct job *job = malloc(sizeof(*job));

	if (!job)
		abort();
	job->run = run;
	job->with = with;
	call_rcu(&job->head, job_run);
}

static void section_begin(void)
{
	rcu_read_lock();
}

static void section_end(void)
{
	rcu_read_unlock();
}

static void synchronize(void)
{
	synchronize_rcu();
}

static void barrier(void)
{
	rcu_barrier();
}

static int has_membarrier(void)
{
	return HAS_MEMBARRIER;
}

/* Makes a callback thread that callers do not wake: it looks for callbacks every 10 ms. */
static void *rt_worker_new(void)
{
	return create_call_rcu_data(URCU_CALL_RCU_RT, -1);
}

static void rt_worker_free(void *worker)
{
	call_rcu_data_free(worker);
}

/* The fields have the order of `Ops` in src/urcu.rs. */
const struct {
	void (*thread_begin)(void);
	void (*thread_end)(void);
	struct cell *(*cell_new)(void);
	void (*cell_free)(struct cell *);
	void (*read_loop)(uint64_t, struct cell *);
	void (*nested_loop)(uint64_t);
	void (*load_loop)(uint64_t, struct cell *);
	void (*read_until)(struct cell *, const uint8_t *);
	void (*replace_loop)(uint64_t, struct cell *);
	struct rcu_head *(*heads_new)(uint64_t);
	void (*heads_free)(struct rcu_head *);
	void (*call_loop)(uint64_t, struct rcu_head *);
	void (*retire_loop)(uint64_t);
	void (*call)(void (*)(void *), void *);
	void (*section_begin)(void);
	void (*section_end)(void);
	void (*synchronize)(void);
	void (*barrier)(void);
	int (*has_membarrier)(void);
	void *(*rt_worker_new)(void);
	void (*rt_worker_free)(void *);
} OPS = {
	.thread_begin = thread_begin,
	.thread_end = thread_end,
	.cell_new = cell_new,
	.cell_free = cell_free,
	.read_loop = read_loop,
	.nested_loop = nested_loop,
	.load_loop = load_loop,
	.read_until = read_until,
	.replace_loop = replace_loop,
	.heads_new = heads_new,
	.heads_free = heads_free,
	.call_loop = call_loop,
	.retire_loop = retire_loop,
	.call = call,
	.section_begin = section_begin,
	.section_end = section_end,
	.synchronize = synchronize,
	.barrier = barrier,
	.has_membarrier = has_membarrier,
	.rt_worker_new = rt_worker_new,
	.rt_worker_free = rt_worker_free,
};
