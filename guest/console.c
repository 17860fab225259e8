// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: every message printk takes.
 *
 * What listen.c hears only says that there is something to take: the text comes
 * from the log.
 *
 *   the first one	an interrupt of this CPU takes it, or one of another
 *			CPU, should this one hang with its interrupts off
 *   few more		a worker takes them, some milliseconds later
 *   many		printk's own context takes them, before the log is
 *			full; it waits for nothing
 *   after a panic	the same, but now the device is waited for
 *
 * A message that finds neither a free slot nor a place in the log any more is
 * counted, see log.c.
 */
#include <linux/delay.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/reboot.h>
#include <linux/sched/clock.h>
#include <linux/sched/isolation.h>
#include <linux/smp.h>
#include <linux/virtio_config.h>

#include "vpstore.h"

/* A worker looks after this time, or, where a host is slow, after that. */
#define VPSTORE_CONSOLE_DELAY	(HZ / 100 ?: 1)
#define VPSTORE_CONSOLE_RETRY	(HZ / 10 ?: 1)
/* Who was called and hasn't looked by then may never do so (milliseconds). */
#define VPSTORE_CONSOLE_LATE	30

/*
 * When printk's own context takes messages: when a quarter of the log is new,
 * or a slot's worth. A log is never smaller than it was configured. It has a
 * place for one message in each 32 bytes, so a shorter one counts as that.
 */
#define VPSTORE_CONSOLE_BYTES	min(24 * 1024, 1 << (CONFIG_LOG_BUF_SHIFT - 2))
#define VPSTORE_MESSAGE_MIN	32
/* Messages whose length isn't told, as if each had 128 bytes. */
#define VPSTORE_CONSOLE_UNTOLD	(VPSTORE_CONSOLE_BYTES / 128)
/* A dying guest fills a slot in small steps, which cost little. */
#define VPSTORE_DYING_BYTES	(2 * 1024)

/*
 * Send what the log holds, but no more than so many slots: where the host is
 * quick, whoever printed would otherwise go on for all who print meanwhile.
 * True if that left something.
 */
static bool vpstore_console_send(struct vpstore *vp, unsigned int sends)
{
	struct vpstore_console *c = &vp->console;
	struct vpstore_log before;
	struct vpstore_slot *slot;
	unsigned long flags;
	bool more = false;
	size_t len;
	int ret;

	if (!c->on)
		return false;
	/* The worker can wait for swiotlb's lock, see vpstore_validate(). */
	if (in_nmi() && virtio_has_feature(vp->vdev, VIRTIO_F_ACCESS_PLATFORM))
		return false;
	if (atomic_xchg(&c->busy, 1))
		return false;

	atomic_set(&c->fresh, 0);
	do {
		slot = vpstore_stream_get(vp, vp->console_slots,
					  VPSTORE_CONSOLE_SLOTS);
		if (!slot) {
			WRITE_ONCE(c->starved, true);
			more = false;
			break;
		}
		before = c->log;
		len = vpstore_log_fill(&c->log, slot->data, slot->size);
		more = slot->size - len < VPSTORE_LINE_ROOM;
		/* A panic that interrupts this goes on from c->next. */
		local_irq_save(flags);
		ret = vpstore_stream_send(vp, slot, VIRTIO_PSTORE_TYPE_CONSOLE,
					  len);
		if (!ret)
			WRITE_ONCE(c->next, c->log.iter.cur_seq);
		local_irq_restore(flags);
		if (ret) {
			c->log = before;
			WRITE_ONCE(c->starved, true);
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
	struct vpstore_poke *poke;
	/* For this CPU itself it would be called at once, inside printk. */
	int this = get_cpu(), cpu;

	for_each_cpu_and(cpu, cpu_online_mask,
			 housekeeping_cpumask(HK_TYPE_TIMER)) {
		if (cpu == this)
			continue;
		poke = per_cpu_ptr(c->pokes, cpu);
		if (atomic_xchg(&poke->asked, 1))
			continue;
		if (!smp_call_function_single_async(cpu, &poke->there))
			break;
		atomic_set(&poke->asked, 0);
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
	irq_work_queue(&raw_cpu_ptr(c->pokes)->here);
	if (!in_nmi())
		vpstore_console_ask(c);
	return true;
}

/**
 * vpstore_console_drain - send what the log holds, without waiting
 * @vp:	device
 *
 * For any context. Whoever comes while another is at it goes away again.
 */
void vpstore_console_drain(struct vpstore *vp)
{
	if (vpstore_console_send(vp, VPSTORE_CONSOLE_SLOTS))
		vpstore_console_call(&vp->console);
}

/*
 * A message is noted before it is in the log: the worker comes again until
 * none was noted since it came before.
 *
 * Who prints sets c->noted and then reads c->due, the worker sets c->due and
 * then reads c->noted: either one calls, or the other comes again.
 */
static void vpstore_console_work(struct work_struct *work)
{
	struct vpstore_poke *poke = container_of(to_delayed_work(work),
						 struct vpstore_poke, later);
	struct vpstore *vp = poke->vp;
	struct vpstore_console *c = &vp->console;
	bool again = atomic_xchg(&c->noted, 0);
	unsigned long delay = VPSTORE_CONSOLE_DELAY;

	WRITE_ONCE(c->starved, false);
	if (vpstore_console_send(vp, VPSTORE_CONSOLE_SLOTS)) {
		again = true;
		delay = 0;
	} else if (READ_ONCE(c->starved)) {
		/* Normally the device's answer ends a dearth sooner. */
		again = true;
		delay = VPSTORE_CONSOLE_RETRY;
	}

	atomic_xchg(&c->due, again ? vpstore_console_due(delay) : 0);
	if (again || atomic_read(&c->noted))
		mod_delayed_work(c->wq, &poke->later, delay);
}

/* printk may have been called with any lock held; here none is. */
static void vpstore_console_poked(struct vpstore_poke *poke)
{
	/* A slot's worth: interrupts are off. */
	bool more = vpstore_console_send(poke->vp, 1);

	mod_delayed_work(poke->vp->console.wq, &poke->later,
			 more ? 0 : VPSTORE_CONSOLE_DELAY);
}

static void vpstore_console_poked_here(struct irq_work *work)
{
	vpstore_console_poked(container_of(work, struct vpstore_poke, here));
}

static void vpstore_console_poked_there(void *data)
{
	struct vpstore_poke *poke = data;

	vpstore_console_poked(poke);
	atomic_set_release(&poke->asked, 0);
}

static void vpstore_console_call_worker(struct vpstore_console *c)
{
	mod_delayed_work(c->wq, &raw_cpu_ptr(c->pokes)->later, 0);
}

/**
 * vpstore_console_answered - the device has used a buffer
 * @vp:	device
 */
void vpstore_console_answered(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;

	if (!READ_ONCE(c->on) || !READ_ONCE(c->starved))
		return;
	WRITE_ONCE(c->starved, false);
	vpstore_console_call_worker(c);
}

/**
 * vpstore_console_note - there is a message
 * @vp:		device
 * @len:	its length
 *
 * Called by printk, in any context. It may not be in the log yet.
 */
void vpstore_console_note(struct vpstore *vp, size_t len)
{
	struct vpstore_console *c = &vp->console;
	unsigned int fresh;

	if (!READ_ONCE(c->on))
		return;

	atomic_set(&c->noted, 1);
	/* A full barrier, before vpstore_console_call() reads c->due. */
	fresh = atomic_add_return(max_t(size_t, len, VPSTORE_MESSAGE_MIN),
				  &c->fresh);

	if (READ_ONCE(vp->dying)) {
		if (fresh >= VPSTORE_DYING_BYTES)
			vpstore_console_drain_dying(vp);
		return;
	}

	if (vpstore_console_call(c) ||
	    (fresh >= VPSTORE_CONSOLE_BYTES && !READ_ONCE(c->starved)))
		vpstore_console_drain(vp);
}

/**
 * vpstore_console_look - there are messages, nobody knows how many
 * @vp:	device
 *
 * For any context. Nothing is taken here: the caller may hold a lock.
 */
void vpstore_console_look(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;
	struct kmsg_dump_iter end;

	if (!READ_ONCE(c->on))
		return;

	/* A full barrier, before vpstore_console_call() reads c->due. */
	atomic_xchg(&c->noted, 1);
	/* To a CPU that goes offline no interrupt comes any more. */
	if (!cpu_online(raw_smp_processor_id()))
		return;
	kmsg_dump_rewind(&end);
	if (end.next_seq - READ_ONCE(c->next) >= VPSTORE_CONSOLE_UNTOLD)
		irq_work_queue(&raw_cpu_ptr(c->pokes)->here);
	else
		vpstore_console_call(c);
}

/**
 * vpstore_console_pause - send what the log holds, and then take no more of it
 * @vp:		device
 * @dying:	the guest panics
 *
 * Doesn't wait, but at a panic for the device.
 *
 * Return: true if it pauses, until vpstore_console_skip(). False if somebody
 * is at it, perhaps whom the caller has interrupted.
 */
bool vpstore_console_pause(struct vpstore *vp, bool dying)
{
	if (dying)
		return vpstore_console_empty_dying(vp);
	vpstore_console_drain(vp);
	return vp->console.on && !atomic_xchg(&vp->console.busy, 1);
}

/**
 * vpstore_console_skip - go on from the log's end
 * @vp:		device whose console pauses
 * @dying:	as before
 * @count:	messages that came since and were sent in another way
 */
void vpstore_console_skip(struct vpstore *vp, bool dying, u64 count)
{
	struct vpstore_console *c = &vp->console;

	vpstore_log_skip(&c->log, count);
	WRITE_ONCE(c->next, c->log.iter.cur_seq);
	atomic_set_release(dying ? &c->dying_busy : &c->busy, 0);
}

/*
 * Start and stop
 */

/* The core's shutdown of the device comes after this. */
static int vpstore_console_on_reboot(struct notifier_block *nb,
				     unsigned long event, void *command)
{
	vpstore_console_settle(container_of(nb, struct vpstore,
					    console.reboot_nb));
	return NOTIFY_DONE;
}

/**
 * vpstore_console_start - begin to send the console's text
 * @vp:	device whose queues are running
 *
 * From what the log holds by now. Without it the rest of the driver works.
 */
void vpstore_console_start(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;
	struct vpstore_poke *poke;
	int cpu;

	if (!vpstore_takes(vp, VIRTIO_PSTORE_TYPE_CONSOLE))
		return;

	c->log.begun = true;
	c->log.live = true;
	c->log.end = U64_MAX;

	c->pokes = alloc_percpu(struct vpstore_poke);
	if (c->pokes)
		c->wq = alloc_workqueue("virtio_pstore",
					WQ_UNBOUND | WQ_HIGHPRI, 0);
	if (!c->wq) {
		free_percpu(c->pokes);
		dev_warn(&vp->vdev->dev, "no memory for a console\n");
		return;
	}
	for_each_possible_cpu(cpu) {
		poke = per_cpu_ptr(c->pokes, cpu);
		poke->vp = vp;
		init_irq_work(&poke->here, vpstore_console_poked_here);
		INIT_CSD(&poke->there, vpstore_console_poked_there, poke);
		INIT_DELAYED_WORK(&poke->later, vpstore_console_work);
	}

	c->reboot_nb.notifier_call = vpstore_console_on_reboot;
	register_reboot_notifier(&c->reboot_nb);
	vpstore_console_resume(vp);
}

/**
 * vpstore_console_settle - send what the log holds, and let it arrive
 * @vp:	device whose queues are about to be stopped
 *
 * There is time: a quarter of what an oops may take.
 */
void vpstore_console_settle(struct vpstore *vp)
{
	struct vpstore_budget budget;

	vpstore_budget_init(&budget, vpstore_timeout_ms(KMSG_DUMP_OOPS));
	vpstore_console_drain(vp);
	vpstore_settle(vp, &budget);
}

/**
 * vpstore_console_halt - leave everything in the log from now on
 * @vp:	device whose queues are stopped: an answer calls the worker
 *
 * An interrupt for what is printed now could keep the guest from suspending.
 */
void vpstore_console_halt(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;
	struct vpstore_poke *poke;
	int cpu;

	if (!c->wq)
		return;

	WRITE_ONCE(c->on, false);
	for_each_possible_cpu(cpu) {
		poke = per_cpu_ptr(c->pokes, cpu);
		irq_work_sync(&poke->here);
		while (atomic_read_acquire(&poke->asked))
			msleep(20);
	}
	for_each_possible_cpu(cpu)
		cancel_delayed_work_sync(&per_cpu_ptr(c->pokes, cpu)->later);
}

/**
 * vpstore_console_resume - send what there is in the log, and go on
 * @vp:	device whose queues are running
 */
void vpstore_console_resume(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;

	if (!c->wq)
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
	struct vpstore_console *c = &vp->console;

	if (!c->wq)
		return;

	unregister_reboot_notifier(&c->reboot_nb);
	vpstore_console_halt(vp);
	destroy_workqueue(c->wq);
	c->wq = NULL;
	free_percpu(c->pokes);
}
