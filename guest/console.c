// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: every message printk takes.
 *
 * A registered console gets what console_loglevel lets through. The tracepoint
 * "console" is passed by every message, but before it is in the log, so it
 * only says that there is something to take: the text comes from the log.
 *
 *   few messages	a worker takes them, some milliseconds later
 *   many		printk's own context takes them, before the log is
 *			full; it waits for nothing
 *   after a panic	the same, but now the device is waited for
 *
 * A message that finds neither a free slot nor a place in the log any more is
 * counted, see log.c.
 */
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/math64.h>
#include <linux/preempt.h>
#include <linux/reboot.h>
#include <linux/sched/clock.h>
#include <linux/time64.h>
#include <linux/tracepoint.h>
#include <linux/virtio_config.h>

#include "vpstore.h"

/* A worker looks after this time, or, where a host is slow, after that. */
#define VPSTORE_CONSOLE_DELAY	(HZ / 100 ?: 1)
#define VPSTORE_CONSOLE_RETRY	(HZ / 10 ?: 1)
/* Without the tracepoint some messages come without a word. */
#define VPSTORE_CONSOLE_PERIOD	(HZ / 10 ?: 1)

/*
 * When printk's own context takes messages: when a quarter of the log is new,
 * counted in bytes and in messages (one for each 32 bytes), or a slot's worth.
 * A log is never smaller than it was configured.
 */
#define VPSTORE_CONSOLE_BYTES	min(24 * 1024, 1 << (CONFIG_LOG_BUF_SHIFT - 2))
#define VPSTORE_CONSOLE_LINES	(1 << (CONFIG_LOG_BUF_SHIFT - 7))
/* A dying guest fills a slot in small steps, which cost little. */
#define VPSTORE_DYING_BYTES	(2 * 1024)
#define VPSTORE_DYING_LINES	32

/*
 * Send what the log holds, but no more than all slots: where the host is
 * quick, whoever printed would otherwise go on for all who print meanwhile.
 * True if that left something.
 */
static bool vpstore_console_send(struct vpstore *vp)
{
	unsigned int sends = VPSTORE_CONSOLE_SLOTS;
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
	atomic_set(&c->lines, 0);
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

/* From any context, have the worker look. */
static void vpstore_console_call(struct vpstore_console *c)
{
	if (!atomic_read(&c->noted) && !atomic_xchg(&c->noted, 1))
		irq_work_queue(&c->poke);
}

/**
 * vpstore_console_drain - send what the log holds, without waiting
 * @vp:	device
 *
 * For any context. Whoever comes while another is at it goes away again.
 */
void vpstore_console_drain(struct vpstore *vp)
{
	if (vpstore_console_send(vp))
		vpstore_console_call(&vp->console);
}

static void vpstore_console_work(struct work_struct *work)
{
	struct vpstore_console *c = container_of(to_delayed_work(work),
						 struct vpstore_console, work);
	struct vpstore *vp = container_of(c, struct vpstore, console);

	WRITE_ONCE(c->starved, false);
	atomic_set(&c->noted, 0);
	/* Normally the device's answer ends a dearth sooner. */
	if (vpstore_console_send(vp))
		mod_delayed_work(c->wq, &c->work, 0);
	else if (READ_ONCE(c->starved))
		mod_delayed_work(c->wq, &c->work, VPSTORE_CONSOLE_RETRY);
	else if (!c->tracepoint)
		mod_delayed_work(c->wq, &c->work, VPSTORE_CONSOLE_PERIOD);
}

/* printk may have been called with any lock held; here none is. */
static void vpstore_console_poke(struct irq_work *poke)
{
	struct vpstore_console *c = container_of(poke, struct vpstore_console,
						 poke);

	mod_delayed_work(c->wq, &c->work, VPSTORE_CONSOLE_DELAY);
}

/**
 * vpstore_console_answered - the device has used a buffer
 * @vp:	device
 */
void vpstore_console_answered(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;

	if (!c->on || !READ_ONCE(c->starved))
		return;
	WRITE_ONCE(c->starved, false);
	mod_delayed_work(c->wq, &c->work, 0);
}

/* Called by printk, in any context, before the message is in the log. */
static void vpstore_console_note(struct vpstore *vp, size_t len)
{
	struct vpstore_console *c = &vp->console;
	unsigned int fresh, lines;

	if (!c->on)
		return;

	fresh = atomic_add_return(len, &c->fresh);
	lines = atomic_inc_return(&c->lines);

	if (READ_ONCE(vp->dying)) {
		if (fresh >= VPSTORE_DYING_BYTES ||
		    lines >= VPSTORE_DYING_LINES)
			vpstore_console_drain_dying(vp);
		return;
	}

	if ((fresh >= VPSTORE_CONSOLE_BYTES ||
	     lines >= VPSTORE_CONSOLE_LINES) && !READ_ONCE(c->starved))
		vpstore_console_drain(vp);
	vpstore_console_call(c);
}

static void vpstore_console_write(struct console *con, const char *text,
				  unsigned int len)
{
	vpstore_console_note(con->data, len);
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

#ifdef CONFIG_TRACEPOINTS
/*
 * What printk takes after kmsg_dump() is a line or two, and nobody comes after
 * it to take it from the log: send it from here, as printk would format it.
 */
static void vpstore_console_epilogue(struct vpstore *vp, const char *text,
				     size_t len)
{
	struct vpstore_text what = { .type = VIRTIO_PSTORE_TYPE_CONSOLE };
	struct vpstore_dump *d = &vp->panic;
	struct vpstore_console *c = &vp->console;
	struct vpstore_slot *slot;
	u64 now = local_clock();
	u32 rest;

	if (!d->queue || atomic_xchg(&c->dying_busy, 1))
		return;
	slot = vpstore_chunk_get(vp, d->queue, &d->budget);
	if (slot) {
		now = div_u64_rem(now, NSEC_PER_SEC, &rest);
		what.len = scnprintf(slot->data, slot->size,
				     "[%5llu.%06u] %.*s\n", now,
				     rest / (u32)NSEC_PER_USEC, (int)len, text);
		slot->head = 0;
		vpstore_chunk_send(vp, d->queue, slot, &what, &d->budget);
		vpstore_chunks_wait(vp, d->queue, &d->budget);
	}
	atomic_set_release(&c->dying_busy, 0);
}

/* Its own symbol is exported only from 6.12 on; its name is older. */
static void vpstore_console_match(struct tracepoint *tp, void *found)
{
	if (!strcmp(tp->name, "console"))
		*(struct tracepoint **)found = tp;
}

static void vpstore_console_probe(void *data, const char *text, size_t len)
{
	struct vpstore *vp = data;

	if (vpstore_trace_take(vp, text, len))
		return;
	if (READ_ONCE(vp->console.flushed))
		vpstore_console_epilogue(vp, text, len);
	else
		vpstore_console_note(vp, len);
}

static bool vpstore_console_attach(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;

	for_each_kernel_tracepoint(vpstore_console_match, &c->tracepoint);
	if (!c->tracepoint)
		return false;
	if (!tracepoint_probe_register(c->tracepoint, vpstore_console_probe,
				       vp))
		return true;
	c->tracepoint = NULL;
	return false;
}

static void vpstore_console_detach(struct vpstore *vp)
{
	tracepoint_probe_unregister(vp->console.tracepoint,
				    vpstore_console_probe, vp);
	tracepoint_synchronize_unregister();
	vp->console.tracepoint = NULL;
}
#else
static bool vpstore_console_attach(struct vpstore *vp)
{
	return false;
}

static void vpstore_console_detach(struct vpstore *vp)
{
}
#endif

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
	bool wanted = vpstore_takes(vp, VIRTIO_PSTORE_TYPE_CONSOLE);

	/* The trace's text is taken from the tracepoint, too. */
	if (!wanted && !vpstore_takes(vp, VIRTIO_PSTORE_TYPE_FTRACE))
		return;

	init_irq_work(&c->poke, vpstore_console_poke);
	INIT_DELAYED_WORK(&c->work, vpstore_console_work);
	c->log.begun = true;
	c->log.live = true;
	c->log.end = U64_MAX;

	c->wq = alloc_workqueue("virtio_pstore", WQ_UNBOUND | WQ_HIGHPRI, 0);
	if (!c->wq)
		return;

	WRITE_ONCE(c->on, wanted);
	if (!vpstore_console_attach(vp) && wanted) {
		strscpy(c->con.name, "vpstore", sizeof(c->con.name));
		c->con.write = vpstore_console_write;
		c->con.flags = CON_ENABLED | CON_ANYTIME;
		c->con.index = -1;
		c->con.data = vp;
		register_console(&c->con);
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
 * vpstore_console_resume - go on after the queues were stopped
 * @vp:	device whose queues are running
 */
void vpstore_console_resume(struct vpstore *vp)
{
	if (vp->console.on)
		mod_delayed_work(vp->console.wq, &vp->console.work, 0);
}

/**
 * vpstore_console_stop - undo vpstore_console_start()
 * @vp:	device whose queues are stopped: an answer calls the worker
 */
void vpstore_console_stop(struct vpstore *vp)
{
	struct vpstore_console *c = &vp->console;

	if (!c->wq)
		return;

	unregister_reboot_notifier(&c->reboot_nb);
	if (c->tracepoint)
		vpstore_console_detach(vp);
	else if (c->on)
		unregister_console(&c->con);
	WRITE_ONCE(c->on, false);
	irq_work_sync(&c->poke);
	cancel_delayed_work_sync(&c->work);
	destroy_workqueue(c->wq);
	c->wq = NULL;
}
