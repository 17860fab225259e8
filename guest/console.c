// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: every message printk takes.
 *
 * What console_listen.c hears only says that there is something to take: the
 * text comes from the log.
 *
 *   the first one	an interrupt of this CPU takes it, or one of another
 *			CPU, should this one hang with its interrupts off
 *   few more		a worker takes them, some milliseconds later
 *   many		printk's own context takes them, before the log is
 *			full; it waits for nothing
 *   after a panic	the same, but now the device is waited for
 *			(console_panic.c)
 *
 * A message that finds neither a free buffer nor a place in the log any more is
 * counted, see log.c.
 */
#include <linux/delay.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sched/clock.h>
#include <linux/sched/isolation.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>

#include "console.h"

#define VPSTORE_CONSOLE_REQUESTS 16
#define VPSTORE_CONSOLE_SIZE	(32 * 1024)

/* A worker looks after this time, or, where a host is slow, after that. */
#define VPSTORE_CONSOLE_DELAY	(HZ / 100 ?: 1)
#define VPSTORE_CONSOLE_RETRY	(HZ / 10 ?: 1)
/* Who was called and hasn't looked by then may never do so (milliseconds). */
#define VPSTORE_CONSOLE_LATE	30

/*
 * When printk's own context takes messages: when a quarter of the log is new,
 * or most of a buffer's worth. A log is never smaller than it was configured. It
 * has a place for one message in each 32 bytes, so a shorter one counts as that.
 */
#define VPSTORE_CONSOLE_BYTES	min(24 * 1024, 1 << (CONFIG_LOG_BUF_SHIFT - 2))
#define VPSTORE_MESSAGE_MIN	32
/* Messages whose length isn't told, as if each had 128 bytes. */
#define VPSTORE_CONSOLE_UNTOLD	(VPSTORE_CONSOLE_BYTES / 128)
/* A panic fills a buffer in small steps, which cost little. */
#define VPSTORE_PANIC_BYTES	(2 * 1024)

/*
 * Send what the log holds, but no more than so many buffers: where the host is
 * quick, whoever printed would otherwise go on for all who print meanwhile.
 * True if that left something.
 */
static bool vpstore_console_send(struct vpstore_console *c, unsigned int sends)
{
	struct vpstore *vp = c->vp;
	struct vpstore_request *req;
	struct vpstore_log before;
	unsigned long flags;
	bool more = false;
	int ret;

	if (!c->on)
		return false;
	/* The worker can wait for swiotlb's lock, see vpstore_validate(). */
	if (in_nmi() && virtio_has_feature(vp->vdev, VIRTIO_F_ACCESS_PLATFORM))
		return false;
	if (atomic_xchg(&c->busy, 1))
		return false;

	atomic_set(&c->printed, 0);
	do {
		req = vpstore_get(vp, &c->pool, vp->write_q, NULL);
		if (!req) {
			WRITE_ONCE(c->no_buffer, true);
			more = false;
			break;
		}
		before = c->log;
		vpstore_fill_write(req, VIRTIO_PSTORE_TYPE_CONSOLE, 0, 0);
		req->len = vpstore_log_fill(&c->log, req->data, req->size);
		more = req->size - req->len < VPSTORE_LINE_ROOM;
		if (!req->len) {
			vpstore_release(req);
			break;
		}
		/* A panic that interrupts this goes on from c->next. */
		local_irq_save(flags);
		ret = vpstore_send(vp->write_q, req, NULL);
		if (!ret)
			WRITE_ONCE(c->next, c->log.iter.cur_seq);
		local_irq_restore(flags);
		if (ret) {
			c->log = before;
			WRITE_ONCE(c->no_buffer, true);
			more = false;
			break;
		}
	} while (more && --sends);

	atomic_set_release(&c->busy, 0);
	return more;
}

/* Milliseconds, nearly; for any context. */
static int vpstore_console_clock(void)
{
	return local_clock() >> 20;
}

/* When those are late who are to look in so many jiffies; never 0. */
static int vpstore_console_due(unsigned long delay)
{
	return (vpstore_console_clock() + jiffies_to_msecs(delay) +
		VPSTORE_CONSOLE_LATE) | 1;
}

/*
 * Have another CPU look, if there is one that may be disturbed and that doesn't
 * owe a look already: that one may hang. Not for NMIs, which must not send an
 * interrupt to another CPU.
 */
static void vpstore_console_ask(struct vpstore_console *c)
{
	struct vpstore_console_cpu *other;
	/* For this CPU itself it would be called at once, inside printk. */
	int this = get_cpu(), cpu;

	for_each_cpu_and(cpu, cpu_online_mask,
			 housekeeping_cpumask(HK_TYPE_TIMER)) {
		if (cpu == this)
			continue;
		other = per_cpu_ptr(c->cpus, cpu);
		if (atomic_xchg(&other->raised, 1))
			continue;
		if (!smp_call_function_single_async(cpu, &other->from_other))
			break;
		atomic_set(&other->raised, 0);
	}
	put_cpu();
}

/*
 * For any context: call two CPUs to look, this one, as soon as its interrupts
 * are on, and another, should this one hang. A worker of each looks once more a
 * little later, and goes on while there are messages. Until that has ended,
 * nobody else is called, unless it is late: both CPUs may hang.
 *
 * True if they were called.
 */
static bool vpstore_console_call(struct vpstore_console *c)
{
	int due = atomic_read(&c->due);

	if (due && due - vpstore_console_clock() > 0)
		return false;
	if (atomic_cmpxchg(&c->due, due, vpstore_console_due(0)) != due)
		return false;
	irq_work_queue(&raw_cpu_ptr(c->cpus)->own);
	if (!in_nmi())
		vpstore_console_ask(c);
	return true;
}

/*
 * Send what the log holds, without waiting. For any context. Whoever comes while
 * another is at it goes away again.
 */
static void vpstore_console_drain(struct vpstore_console *c)
{
	if (vpstore_console_send(c, VPSTORE_CONSOLE_REQUESTS))
		vpstore_console_call(c);
}

/*
 * A message is noted before it is in the log: the worker comes again until
 * none was noted since it came before.
 *
 * Who prints sets c->message and then reads c->due, the worker sets c->due and
 * then reads c->message: either one calls, or the other comes again.
 */
static void vpstore_console_work(struct work_struct *work)
{
	struct vpstore_console_cpu *cpu =
		container_of(to_delayed_work(work), struct vpstore_console_cpu,
			     worker);
	struct vpstore_console *c = cpu->console;
	bool again = atomic_xchg(&c->message, 0);
	unsigned long delay = VPSTORE_CONSOLE_DELAY;

	WRITE_ONCE(c->no_buffer, false);
	if (vpstore_console_send(c, VPSTORE_CONSOLE_REQUESTS)) {
		again = true;
		delay = 0;
	} else if (READ_ONCE(c->no_buffer)) {
		/* Normally the device's answer ends this sooner. */
		again = true;
		delay = VPSTORE_CONSOLE_RETRY;
	}

	atomic_xchg(&c->due, again ? vpstore_console_due(delay) : 0);
	if (again || atomic_read(&c->message))
		mod_delayed_work(c->wq, &cpu->worker, delay);
}

/* printk may have been called with any lock held; here none is. */
static void vpstore_console_interrupted(struct vpstore_console_cpu *cpu)
{
	/* A buffer's worth: interrupts are off. */
	bool more = vpstore_console_send(cpu->console, 1);

	mod_delayed_work(cpu->console->wq, &cpu->worker,
			 more ? 0 : VPSTORE_CONSOLE_DELAY);
}

static void vpstore_console_own(struct irq_work *work)
{
	vpstore_console_interrupted(container_of(work,
						 struct vpstore_console_cpu,
						 own));
}

static void vpstore_console_from_other(void *data)
{
	struct vpstore_console_cpu *cpu = data;

	vpstore_console_interrupted(cpu);
	atomic_set_release(&cpu->raised, 0);
}

static void vpstore_console_call_worker(struct vpstore_console *c)
{
	mod_delayed_work(c->wq, &raw_cpu_ptr(c->cpus)->worker, 0);
}

/**
 * vpstore_console_message - there is a message
 * @c:		console
 * @len:	its length
 *
 * Called by printk, in any context. It may not be in the log yet.
 */
void vpstore_console_message(struct vpstore_console *c, size_t len)
{
	unsigned int printed;

	if (!READ_ONCE(c->on))
		return;

	atomic_set(&c->message, 1);
	/* A full barrier, before vpstore_console_call() reads c->due. */
	printed = atomic_add_return(max_t(size_t, len, VPSTORE_MESSAGE_MIN),
				    &c->printed);

	if (READ_ONCE(c->vp->in_panic)) {
		if (printed >= VPSTORE_PANIC_BYTES)
			vpstore_panic_console_send(c);
		return;
	}

	if (vpstore_console_call(c) ||
	    (printed >= VPSTORE_CONSOLE_BYTES && !READ_ONCE(c->no_buffer)))
		vpstore_console_drain(c);
}

/**
 * vpstore_console_look - there are messages, nobody knows how many
 * @c:	console
 *
 * For any context. Nothing is taken here: the caller may hold a lock.
 */
void vpstore_console_look(struct vpstore_console *c)
{
	struct kmsg_dump_iter end;

	if (!READ_ONCE(c->on))
		return;

	/* A full barrier, before vpstore_console_call() reads c->due. */
	atomic_xchg(&c->message, 1);
	/* To a CPU that goes offline no interrupt comes any more. */
	if (!cpu_online(raw_smp_processor_id()))
		return;
	kmsg_dump_rewind(&end);
	if (end.next_seq - READ_ONCE(c->next) >= VPSTORE_CONSOLE_UNTOLD)
		irq_work_queue(&raw_cpu_ptr(c->cpus)->own);
	else
		vpstore_console_call(c);
}

/**
 * vpstore_console_pause - send what the log holds, and then take no more of it
 * @vp:		device
 * @panic:	the guest panics
 *
 * Doesn't wait, but at a panic for the device.
 *
 * Return: true if it pauses, until vpstore_console_skip(). False if somebody
 * is at it, perhaps whom the caller has interrupted.
 */
bool vpstore_console_pause(struct vpstore *vp, bool panic)
{
	struct vpstore_console *c = vp->console;

	if (!c)
		return false;
	if (panic)
		return vpstore_panic_console_pause(c);
	vpstore_console_drain(c);
	return c->on && !atomic_xchg(&c->busy, 1);
}

/**
 * vpstore_console_skip - go on from the log's end
 * @vp:		device whose console pauses
 * @panic:	as before
 * @count:	messages that came since and were sent in another way
 */
void vpstore_console_skip(struct vpstore *vp, bool panic, u64 count)
{
	struct vpstore_console *c = vp->console;

	vpstore_log_skip(&c->log, count);
	WRITE_ONCE(c->next, c->log.iter.cur_seq);
	atomic_set_release(panic ? &c->panic_busy : &c->busy, 0);
}

static int vpstore_console_on_event(struct notifier_block *nb,
				    unsigned long event, void *data)
{
	struct vpstore_console *c = container_of(nb, struct vpstore_console,
						 events);

	switch (event) {
	case VPSTORE_ANSWERED:
		if (!READ_ONCE(c->on) || !READ_ONCE(c->no_buffer))
			break;
		WRITE_ONCE(c->no_buffer, false);
		vpstore_console_call_worker(c);
		break;
	case VPSTORE_PANIC_AGAIN:
		/* Only once: the panic may be this console's own doing. */
		if (!c->vp->retried)
			vpstore_panic_console_again(c);
		break;
	case VPSTORE_PANIC_SENT:
		vpstore_panic_console_begin(c);
		break;
	case VPSTORE_DUMPED:
		if (READ_ONCE(c->vp->in_panic))
			vpstore_panic_console_flush(c);
		else
			vpstore_console_drain(c);
		break;
	}
	return NOTIFY_DONE;
}

/* Nothing runs yet. */
static int vpstore_console_init(struct vpstore_console *c)
{
	struct vpstore_console_cpu *each;
	int cpu, ret;

	c->log.begun = true;
	c->log.live = true;
	c->log.end = U64_MAX;
	ret = vpstore_pool_alloc(&c->pool, VPSTORE_CONSOLE_REQUESTS,
				 min_t(u32, c->vp->max_data,
				       VPSTORE_CONSOLE_SIZE));
	if (ret)
		return ret;
	c->cpus = alloc_percpu(struct vpstore_console_cpu);
	if (!c->cpus)
		goto err_pool;
	c->wq = alloc_workqueue("virtio_pstore", WQ_UNBOUND | WQ_HIGHPRI, 0);
	if (!c->wq)
		goto err_cpus;

	for_each_possible_cpu(cpu) {
		each = per_cpu_ptr(c->cpus, cpu);
		each->console = c;
		init_irq_work(&each->own, vpstore_console_own);
		INIT_CSD(&each->from_other, vpstore_console_from_other,
			 each);
		INIT_DELAYED_WORK(&each->worker, vpstore_console_work);
	}
	return 0;

err_cpus:
	free_percpu(c->cpus);
err_pool:
	vpstore_pool_free(&c->pool);
	return -ENOMEM;
}

/**
 * vpstore_console_start - begin to send the console's text
 * @vp:	device whose queues are running
 *
 * From what the log holds by now. Without it the rest of the driver works.
 */
void vpstore_console_start(struct vpstore *vp)
{
	struct vpstore_console *c;

	if (!vpstore_takes(vp, VIRTIO_PSTORE_TYPE_CONSOLE))
		return;

	c = kzalloc(sizeof(*c), GFP_KERNEL);
	if (c)
		c->vp = vp;
	if (!c || vpstore_console_init(c)) {
		kfree(c);
		dev_warn(&vp->vdev->dev, "no memory for a console\n");
		return;
	}

	vp->console = c;
	c->events.notifier_call = vpstore_console_on_event;
	/* Before trace.c, which prints. */
	c->events.priority = 1;
	atomic_notifier_chain_register(&vp->events, &c->events);
	vpstore_console_resume(vp);
}

/**
 * vpstore_console_send_rest - send what the log holds
 * @vp:	device whose queues are about to be stopped
 */
void vpstore_console_send_rest(struct vpstore *vp)
{
	if (vp->console)
		vpstore_console_drain(vp->console);
}

/**
 * vpstore_console_halt - leave everything in the log from now on
 * @vp:	device whose queues are stopped: an answer calls the worker
 *
 * An interrupt for what is printed now could keep the guest from suspending.
 */
void vpstore_console_halt(struct vpstore *vp)
{
	struct vpstore_console *c = vp->console;
	struct vpstore_console_cpu *each;
	int cpu;

	if (!c)
		return;

	WRITE_ONCE(c->on, false);
	for_each_possible_cpu(cpu) {
		each = per_cpu_ptr(c->cpus, cpu);
		irq_work_sync(&each->own);
		while (atomic_read_acquire(&each->raised))
			msleep(20);
	}
	for_each_possible_cpu(cpu)
		cancel_delayed_work_sync(&per_cpu_ptr(c->cpus, cpu)->worker);
}

/**
 * vpstore_console_resume - send what there is in the log, and go on
 * @vp:	device whose queues are running
 */
void vpstore_console_resume(struct vpstore *vp)
{
	struct vpstore_console *c = vp->console;

	if (!c)
		return;

	WRITE_ONCE(c->on, true);
	vpstore_console_call_worker(c);
}

/**
 * vpstore_console_stop - undo vpstore_console_start()
 * @vp:	device whose queues are stopped, and that listens to printk no more
 */
void vpstore_console_stop(struct vpstore *vp)
{
	struct vpstore_console *c = vp->console;

	if (!c)
		return;

	atomic_notifier_chain_unregister(&vp->events, &c->events);
	vpstore_console_halt(vp);
	destroy_workqueue(c->wq);
	free_percpu(c->cpus);
	vpstore_pool_free(&c->pool);
	vp->console = NULL;
	kfree(c);
}
