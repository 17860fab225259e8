// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the whole log at oops and panic.
 *
 * pstore compresses as it dumps, part by part, and looks for each part by
 * walking over the log again; that, and not the device, is what its dumps
 * take their time for. Here the log is walked over once, oldest line first,
 * and formatted straight into the buffers that the device reads. A full one is
 * sent at once, so that the device works while the next one is being filled.
 *
 * The first of all panic notifiers, and of all die notifiers, takes the log,
 * before ftrace_dump() prints more than the log holds. What comes after that is
 * sent when kmsg_dump() calls.
 */
#include <linux/kdebug.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/limits.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/panic_notifier.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "compat.h"
#include "vpstore.h"

#define VPSTORE_TIMEOUT_MAX_MS	(10 * 60 * 1000U)

static unsigned int panic_timeout_ms = 5000;
module_param(panic_timeout_ms, uint, 0644);
MODULE_PARM_DESC(panic_timeout_ms,
		 "Time all of a panic's records together may wait for the host (milliseconds, default 5000)");

static unsigned int oops_timeout_ms = 1000;
module_param(oops_timeout_ms, uint, 0644);
MODULE_PARM_DESC(oops_timeout_ms,
		 "The same at an oops that is no panic (milliseconds, default 1000)");

/**
 * vpstore_timeout_ms - how long a dump may wait for the host
 * @reason:	of the dump
 *
 * Return: milliseconds.
 */
unsigned int vpstore_timeout_ms(enum kmsg_dump_reason reason)
{
	unsigned int ms = READ_ONCE(oops_timeout_ms);

	/* An emergency restart is a last chance just as well. */
	if (reason == KMSG_DUMP_PANIC || reason == KMSG_DUMP_EMERG)
		ms = READ_ONCE(panic_timeout_ms);
	/* Not 0: even a host that is quick needs a moment. */
	return clamp(ms, 1U, VPSTORE_TIMEOUT_MAX_MS);
}

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

/**
 * vpstore_dump_part - send a part of a dump
 * @vp:		device
 * @d:		the dump
 * @req:	its text from VPSTORE_HEAD_ROOM on; not the caller's any more
 * @type:	VIRTIO_PSTORE_TYPE_*
 * @part:	which part this is, from 1 on
 * @len:	bytes of text
 * @last:	no part follows. It is only known once the text is there, so the
 *		line that says so is written last
 *
 * Return: 0, or this driver's negative errno.
 */
int vpstore_dump_part(struct vpstore *vp, struct vpstore_dump *d,
		      struct vpstore_request *req, u16 type, u32 part,
		      size_t len, bool last)
{
	char head[VPSTORE_HEAD_ROOM];
	size_t n;

	n = vpstore_dump_head(vp, d, head, sizeof(head), part,
			      last ? " last" : "");
	vpstore_fill_write(req, type, d->count, 0);
	req->offset = VPSTORE_HEAD_ROOM - n;
	req->len = n + len;
	memcpy(req->data + req->offset, head, n);
	return vpstore_send(d->queue, req, &d->budget);
}

static void vpstore_dump_begin(struct vpstore *vp, struct vpstore_dump *d,
			       enum kmsg_dump_reason reason)
{
	bool panic = d == &vp->panic;

	d->reason = reason;
	d->count = atomic_inc_return(&vp->oopses);
	d->part = 0;
	d->time = ktime_get_real_fast_ns();
	d->log = (struct vpstore_log) { .syslog = true, .cpus_stopped = panic };
	kmsg_dump_rewind(&d->log.iter);

	/* A panic's budget and queue serve the console, too. */
	if (!panic) {
		vpstore_budget_init(&d->budget, vpstore_timeout_ms(reason));
		d->queue = vpstore_choose_queue(vp, false, &d->budget);
	}
}

/* Send what the log holds from where this dump stands. */
static void vpstore_dump_walk(struct vpstore *vp, struct vpstore_dump *d,
			      bool last)
{
	struct vpstore_request *req;
	struct kmsg_dump_iter end;
	size_t len, room;
	bool sent = true;
	bool more;

	d->stored = false;
	if (!d->queue)
		return;

	/*
	 * At an oops other CPUs may print as fast as this sends. At a panic
	 * none does, and the log's end may be hidden behind a stopped CPU.
	 */
	kmsg_dump_rewind(&end);
	d->log.end = d->log.cpus_stopped ? U64_MAX : end.next_seq;

	do {
		req = vpstore_get(vp, &vp->dumps, d->queue, &d->budget);
		if (!req)
			return;
		room = req->size - VPSTORE_HEAD_ROOM;
		len = vpstore_log_fill(&d->log, req->data + VPSTORE_HEAD_ROOM,
				       room);
		more = room - len < VPSTORE_LINE_ROOM;
		if (!len && !last) {
			vpstore_release(req);
			break;
		}
		sent = !vpstore_dump_part(vp, d, req, VIRTIO_PSTORE_TYPE_DMESG,
					  ++d->part, len, last && !more);
	} while (sent && more);

	/* What was sent is safe before anything else happens. */
	d->stored = !vpstore_wait(vp, d->queue, &d->budget) && sent;
}

/* The first to hear of a panic. Other CPUs have been stopped, wherever. */
static void vpstore_enter_panic(struct vpstore *vp)
{
	struct vpstore_dump *d = &vp->panic;

	if (vp->in_panic)
		return;
	WRITE_ONCE(vp->in_panic, true);
	vpstore_budget_init(&d->budget, vpstore_timeout_ms(KMSG_DUMP_PANIC));
	d->queue = vpstore_choose_queue(vp, true, &d->budget);
	if (d->queue != vp->write_q)
		vpstore_settle(vp, &d->budget);
}

static int vpstore_on_panic(struct notifier_block *nb, unsigned long event,
			    void *message)
{
	struct vpstore *vp = container_of(nb, struct vpstore, panic_nb);
	struct vpstore_dump *d = &vp->panic;

	/*
	 * A panic inside the first one, in here or in what followed: printing
	 * leads into the driver again. One more try, on a queue whose lock
	 * isn't held by what will never go on, and then no more.
	 */
	if (atomic_xchg(&d->busy, 1) || vp->in_panic) {
		atomic_notifier_call_chain(&vp->events, VPSTORE_PANIC_AGAIN,
					   vp);
		if (vp->retried)
			return NOTIFY_DONE;
		vp->retried = true;
		d->queue = vpstore_choose_queue(vp, true, &d->budget);
	}

	vpstore_enter_panic(vp);
	if (vp->raw) {
		vpstore_dump_begin(vp, d, KMSG_DUMP_PANIC);
		if (vp->send_otherwise)
			vp->send_otherwise(vp);
		vpstore_dump_walk(vp, d, false);
		d->open = true;
	}
	atomic_notifier_call_chain(&vp->events, VPSTORE_PANIC_SENT, vp);

	atomic_set(&d->busy, 0);
	return NOTIFY_DONE;
}

static int vpstore_on_die(struct notifier_block *nb, unsigned long event,
			  void *args)
{
	struct vpstore *vp = container_of(nb, struct vpstore, die_nb);
	struct vpstore_dump *d = &vp->oops;

	if (event != DIE_OOPS || !vp->raw || READ_ONCE(vp->in_panic))
		return NOTIFY_DONE;
	/* Another CPU's oops is being sent: kmsg_dump() will send this one. */
	if (atomic_cmpxchg(&d->busy, 0, 1))
		return NOTIFY_DONE;

	vpstore_dump_begin(vp, d, KMSG_DUMP_OOPS);
	vpstore_dump_walk(vp, d, false);
	d->open = true;
	d->owner = current;
	atomic_notifier_call_chain(&vp->events, VPSTORE_OOPS_SENT, vp);

	atomic_set_release(&d->busy, 0);
	return NOTIFY_DONE;
}

static void vpstore_on_dump(struct kmsg_dumper *dumper, VPSTORE_DUMP_ARG)
{
	struct vpstore *vp = container_of(dumper, struct vpstore, dumper);
	enum kmsg_dump_reason why = VPSTORE_DUMP_REASON;
	bool panic = why == KMSG_DUMP_PANIC;
	struct vpstore_dump *d = panic ? &vp->panic : &vp->oops;

	/* An oops after the panic belongs to the panic's own dump. */
	if (!panic && READ_ONCE(vp->in_panic))
		return;
	if (atomic_cmpxchg(&d->busy, 0, 1))
		return;

	if (panic)
		vpstore_enter_panic(vp);
	if (vp->raw) {
		if (!d->open || (!panic && d->owner != current))
			vpstore_dump_begin(vp, d, why);
		d->open = false;
		vpstore_dump_walk(vp, d, true);
	}
	atomic_notifier_call_chain(&vp->events, VPSTORE_DUMPED, vp);

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
	unregister_die_notifier(&vp->die_nb);
	atomic_notifier_chain_unregister(&panic_notifier_list, &vp->panic_nb);
	kmsg_dump_unregister(&vp->dumper);
}
