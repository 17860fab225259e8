// SPDX-License-Identifier: GPL-2.0
/*
 * Test module: threads that wait for ever for locks that others hold, two of
 * them for each other's; work that never ends, and when it is asked for,
 * another that keeps a CPU.
 */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rtmutex.h>
#include <linux/rwsem.h>
#include <linux/semaphore.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/workqueue.h>

static bool locks = true;
module_param(locks, bool, 0444);
MODULE_PARM_DESC(locks, "N: nothing waits, but for what spin keeps");

static DEFINE_MUTEX(lock_a);
static DEFINE_MUTEX(lock_b);
static DECLARE_RWSEM(lock_read);
static DECLARE_RWSEM(lock_written);
static DEFINE_RT_MUTEX(lock_rt);
static struct semaphore lock_semaphore;
/*
 * The words behind it lead back to it, as a waiter's task leads to the stack
 * that the waiter is on.
 */
static struct lock_lookalike {
	struct mutex mutex;
	void *self[16];
} *lock_allocated;

static DECLARE_COMPLETION(lock_a_held);
static DECLARE_COMPLETION(lock_b_held);
static DECLARE_COMPLETION(lock_all_held);

static void lock_sleep(void)
{
	for (;;)
		ssleep(1000);
}

static void lock_stuck(struct work_struct *work)
{
	lock_sleep();
}
static DECLARE_WORK(lock_stuck_work, lock_stuck);

static void lock_late(struct work_struct *work)
{
}
static DECLARE_WORK(lock_late_work, lock_late);

static void lock_spin(struct work_struct *work)
{
	preempt_disable();
	for (;;)
		cpu_relax();
}
static DECLARE_WORK(lock_spin_work, lock_spin);

/* On another CPU than the one that asks for it. */
static int lock_set_spin(const char *value, const struct kernel_param *param)
{
	schedule_work_on(cpumask_any_but(cpu_online_mask,
					 raw_smp_processor_id()),
			 &lock_spin_work);
	return 0;
}
module_param_call(spin, lock_set_spin, NULL, NULL, 0200);
MODULE_PARM_DESC(spin, "Written to: work that keeps a CPU for ever");

static int lock_first(void *unused)
{
	mutex_lock(&lock_a);
	complete(&lock_a_held);
	wait_for_completion(&lock_b_held);
	mutex_lock(&lock_b);
	return 0;
}

static int lock_second(void *unused)
{
	mutex_lock(&lock_b);
	complete(&lock_b_held);
	wait_for_completion(&lock_a_held);
	mutex_lock(&lock_a);
	return 0;
}

static int lock_keep(void *unused)
{
	down_read(&lock_read);
	down_write(&lock_written);
	rt_mutex_lock(&lock_rt);
	down(&lock_semaphore);
	mutex_lock(&lock_allocated->mutex);
	complete_all(&lock_all_held);
	lock_sleep();
	return 0;
}

static int lock_want_read(void *unused)
{
	wait_for_completion(&lock_all_held);
	down_write(&lock_read);
	return 0;
}

static int lock_want_written(void *unused)
{
	wait_for_completion(&lock_all_held);
	down_read(&lock_written);
	return 0;
}

static int lock_want_rt(void *unused)
{
	wait_for_completion(&lock_all_held);
	rt_mutex_lock(&lock_rt);
	return 0;
}

static int lock_want_semaphore(void *unused)
{
	wait_for_completion(&lock_all_held);
	down(&lock_semaphore);
	return 0;
}

static int lock_want_allocated(void *unused)
{
	wait_for_completion(&lock_all_held);
	mutex_lock(&lock_allocated->mutex);
	return 0;
}

static const struct {
	int (*run)(void *unused);
	const char *name;
} lock_threads[] = {
	{ lock_first, "lock-first" },
	{ lock_second, "lock-second" },
	{ lock_keep, "lock-keeper" },
	{ lock_want_read, "lock-writer" },
	{ lock_want_written, "lock-reader" },
	{ lock_want_rt, "lock-rt" },
	{ lock_want_semaphore, "lock-semaphore" },
	{ lock_want_allocated, "lock-allocated" },
	/* A second one that waits. */
	{ lock_want_allocated, "lock-late" },
};

static int __init lock_init(void)
{
	struct workqueue_struct *queue;
	struct task_struct *task;
	unsigned int i;

	queue = alloc_ordered_workqueue("lock_queue", 0);
	if (!queue)
		return -ENOMEM;
	sema_init(&lock_semaphore, 1);
	lock_allocated = kzalloc(sizeof(*lock_allocated), GFP_KERNEL);
	if (!lock_allocated) {
		destroy_workqueue(queue);
		return -ENOMEM;
	}
	if (locks) {
		queue_work(queue, &lock_stuck_work);
		queue_work(queue, &lock_late_work);
	}
	mutex_init(&lock_allocated->mutex);
	for (i = 0; i < ARRAY_SIZE(lock_allocated->self); i++)
		lock_allocated->self[i] = lock_allocated;
	for (i = 0; locks && i < ARRAY_SIZE(lock_threads); i++) {
		task = kthread_run(lock_threads[i].run, NULL, "%s",
				   lock_threads[i].name);
		if (IS_ERR(task))
			pr_err("lock: no thread %s\n", lock_threads[i].name);
	}
	return 0;
}
/* The threads never end: the module can't be unloaded. */
module_init(lock_init);

MODULE_DESCRIPTION("Waits for locks for ever");
MODULE_LICENSE("GPL");
