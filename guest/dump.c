// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the whole log at oops and panic.
 *
 * pstore compresses as it dumps, part by part, and looks for each part by
 * walking over the log again; that, and not the device, is what its dumps
 * take their time for. Here the log is walked over once, oldest line first,
 * and formatted straight into the buffers that the device reads.
 *
 * A notifier of the highest priority takes the log before anybody else has
 * something to add: ftrace_dump() prints more than the log holds. What comes
 * after that is sent when kmsg_dump() calls.
 */
#include <linux/kdebug.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/panic_notifier.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "compat.h"
#include "vpstore.h"

/**
 * vpstore_dump_head - write the line that begins a part
 * @vp:		device
 * @d:		the dump
 * @buf:	where the line goes
 * @size:	room there
 * @part:	which part this is, from 1 on
 * @words:	what else the line says, each with a space before it
 *
 * Return: bytes written.
 */
size_t vpstore_dump_head(struct vpstore *vp, struct vpstore_dump *d,
			 char *buf, size_t size, u32 part, const char *words)
{
	u32 nsec;
	u64 sec = div_u64_rem(d->time, NSEC_PER_SEC, &nsec);

	return scnprintf(buf, size,
			 "%s#%u Part%u boot=%*phN time=%llu.%09u oldest-first%s\n",
			 kmsg_dump_reason_str(d->reason), d->count, part,
			 VIRTIO_PSTORE_BOOT_ID_LEN, vp->boot_id, sec, nsec,
			 words);
}

static void vpstore_dump_begin(struct vpstore *vp, struct vpstore_dump *d,
			       enum kmsg_dump_reason reason)
{
	bool dying = d == &vp->panic;

	d->reason = reason;
	d->count = atomic_inc_return(&vp->oopses);
	d->part = 0;
	d->time = ktime_get_real_fast_ns();
	d->log = (struct vpstore_log) { .syslog = true, .dying = dying };
	kmsg_dump_rewind(&d->log.iter);

	/* A panic's budget and queue serve the console, too. */
	if (!dying) {
		vpstore_budget_init(&d->budget, vpstore_timeout_ms(reason));
		d->queue = vpstore_dump_queue(vp, false, &d->budget);
	}
}

/* Which part is the last is only known once it is filled: its head comes then. */
static int vpstore_dump_part(struct vpstore *vp, struct vpstore_dump *d,
			     struct vpstore_slot *slot, size_t len, bool last)
{
	struct vpstore_text text = {
		.type	= VIRTIO_PSTORE_TYPE_DMESG,
		.count	= d->count,
	};
	char head[VPSTORE_HEAD_ROOM];
	size_t n;

	n = vpstore_dump_head(vp, d, head, sizeof(head), ++d->part,
			      last ? " last" : "");
	slot->head = VPSTORE_HEAD_ROOM - n;
	memcpy(slot->data + slot->head, head, n);
	text.len = n + len;
	return vpstore_chunk_send(vp, d->queue, slot, &text, &d->budget);
}

/* Send what the log holds from where this dump stands. True if it is stored. */
static bool vpstore_dump_walk(struct vpstore *vp, struct vpstore_dump *d,
			      bool last)
{
	struct kmsg_dump_iter end;
	struct vpstore_slot *slot;
	size_t len, room;
	bool sent = true;
	bool more;

	if (!d->queue)
		return false;

	/*
	 * At an oops other CPUs may print as fast as this sends. At a panic
	 * none does, and the log's end may be hidden behind a stopped CPU.
	 */
	kmsg_dump_rewind(&end);
	d->log.end = d->log.dying ? U64_MAX : end.next_seq;

	do {
		slot = vpstore_chunk_get(vp, d->queue, &d->budget);
		if (!slot)
			return false;
		room = slot->size - VPSTORE_HEAD_ROOM;
		len = vpstore_log_fill(&d->log, slot->data + VPSTORE_HEAD_ROOM,
				       room);
		more = room - len < VPSTORE_LINE_ROOM;
		if (!len && !last) {
			vpstore_release(slot);
			break;
		}
		sent = !vpstore_dump_part(vp, d, slot, len, last && !more);
	} while (sent && more);

	/* What was sent is safe before anything else happens. */
	return !vpstore_chunks_wait(vp, d->queue, &d->budget) && sent;
}

/* The first to hear of a panic. Other CPUs have been stopped, wherever. */
static void vpstore_dying(struct vpstore *vp)
{
	struct vpstore_dump *d = &vp->panic;

	if (vp->dying)
		return;
	WRITE_ONCE(vp->dying, true);
	vpstore_budget_init(&d->budget, vpstore_timeout_ms(KMSG_DUMP_PANIC));
	d->queue = vpstore_dump_queue(vp, true, &d->budget);
	if (d->queue != vp->write_q)
		vpstore_settle(vp, &d->budget);
}

static int vpstore_on_panic(struct notifier_block *nb, unsigned long event,
			    void *message)
{
	struct vpstore *vp = container_of(nb, struct vpstore, panic_nb);
	struct vpstore_dump *d = &vp->panic;
	bool stored = false;

	vpstore_trace_abandon();

	/*
	 * A panic inside the first one, in here or in what followed: printing
	 * leads into the driver again. One more try, on a queue whose lock
	 * isn't held by what will never go on, and then no more.
	 */
	if (atomic_xchg(&d->busy, 1) || vp->dying) {
		if (vp->retried)
			return NOTIFY_DONE;
		vp->retried = true;
		d->queue = vpstore_dump_queue(vp, true, &d->budget);
		vpstore_console_abandon(vp);
	}

	vpstore_dying(vp);
	if (vp->raw) {
		vpstore_dump_begin(vp, d, KMSG_DUMP_PANIC);
		if (vp->by_reference)
			vpstore_prb_dump(vp, d);
		stored = vpstore_dump_walk(vp, d, false);
		d->open = true;
	}
	vpstore_console_dying(vp);
	if (stored)
		vpstore_trace_dump(vp, d);

	atomic_set(&d->busy, 0);
	return NOTIFY_DONE;
}

static int vpstore_on_die(struct notifier_block *nb, unsigned long event,
			  void *args)
{
	struct vpstore *vp = container_of(nb, struct vpstore, die_nb);
	struct vpstore_dump *d = &vp->oops;
	bool stored;

	if (event != DIE_OOPS || !vp->raw || READ_ONCE(vp->dying))
		return NOTIFY_DONE;
	/* Another CPU's oops is being sent: kmsg_dump() will send this one. */
	if (atomic_cmpxchg(&d->busy, 0, 1))
		return NOTIFY_DONE;

	vpstore_dump_begin(vp, d, KMSG_DUMP_OOPS);
	stored = vpstore_dump_walk(vp, d, false);
	d->open = true;
	d->owner = current;
	if (stored)
		vpstore_trace_dump(vp, d);

	atomic_set_release(&d->busy, 0);
	return NOTIFY_DONE;
}

static void vpstore_on_dump(struct kmsg_dumper *dumper, VPSTORE_DUMP_ARG)
{
	struct vpstore *vp = container_of(dumper, struct vpstore, dumper);
	enum kmsg_dump_reason why = VPSTORE_DUMP_REASON;
	bool dying = why == KMSG_DUMP_PANIC;
	struct vpstore_dump *d = dying ? &vp->panic : &vp->oops;

	/* An oops after the panic belongs to the panic's own dump. */
	if (!dying && READ_ONCE(vp->dying))
		return;
	if (atomic_cmpxchg(&d->busy, 0, 1))
		return;

	if (dying)
		vpstore_dying(vp);
	if (vp->raw) {
		if (!d->open || (!dying && d->owner != current))
			vpstore_dump_begin(vp, d, why);
		d->open = false;
		vpstore_dump_walk(vp, d, true);
	}
	if (dying)
		vpstore_console_flush_dying(vp);
	else
		vpstore_console_drain(vp);

	atomic_set_release(&d->busy, 0);
}

/**
 * vpstore_dump_register - be told of oopses and panics
 * @vp:	device whose queues are running
 *
 * Whatever pstore's source may be: any number of dumpers can register.
 *
 * Return: 0 or a negative errno.
 */
int vpstore_dump_register(struct vpstore *vp)
{
	int ret;

	if (!vp->chunk_count)
		return 0;

	/* max_reason stays 0: what pstore takes, oopses and panics. */
	vp->dumper.dump = vpstore_on_dump;
	ret = kmsg_dump_register(&vp->dumper);
	if (ret)
		return ret;

	vp->panic_nb.notifier_call = vpstore_on_panic;
	vp->panic_nb.priority = INT_MAX;
	atomic_notifier_chain_register(&panic_notifier_list, &vp->panic_nb);

	vp->die_nb.notifier_call = vpstore_on_die;
	vp->die_nb.priority = INT_MAX;
	register_die_notifier(&vp->die_nb);
	return 0;
}

/**
 * vpstore_dump_unregister - undo vpstore_dump_register()
 * @vp:	device
 */
void vpstore_dump_unregister(struct vpstore *vp)
{
	if (!vp->chunk_count)
		return;

	unregister_die_notifier(&vp->die_nb);
	atomic_notifier_chain_unregister(&panic_notifier_list, &vp->panic_nb);
	kmsg_dump_unregister(&vp->dumper);
}
