// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the kernel's trace at oops and panic.
 *
 * The trace's buffers can't be read by a module, and only the kernel knows
 * how to format what is in them. ftrace_dump() does both, and prints. Every
 * line it prints passes printk's tracepoint, where a probe takes it for a
 * record of its own; nothing of it shows on any console. It does go through the
 * log and overwrites it, but dump.c has sent that before.
 */
#include <linux/console.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/string.h>

#include "compat.h"
#include "parts.h"

static bool trace;
module_param(trace, bool, 0444);
MODULE_PARM_DESC(trace,
		 "Send the kernel's trace at oops and panic, which ends tracing (default off; Linux 6.4 and later)");

/**
 * struct vpstore_trace - a device that takes the trace
 * @vp:		the device
 * @events:	what the core tells
 * @probed:	there is a probe
 */
struct vpstore_trace {
	struct vpstore		*vp;
	struct notifier_block	events;
	bool			probed;
};

#ifdef VPSTORE_TRACEPOINT

/*
 * Even messages of level 0 stay off the other consoles then, but not a panic
 * that comes meanwhile: at 0, console_verbose() would leave them silent.
 */
#define VPSTORE_SILENT	(-1)

/* The trace that is being taken, by this CPU only. */
static struct {
	int			cpu;
	struct vpstore		*vp;
	struct vpstore_dump	*d;
	struct vpstore_request	*req;
	size_t			len;
	u32			part;
	u64			messages;
} vpstore_taking = { .cpu = -1 };

static void vpstore_trace_part(bool last)
{
	struct vpstore_request *req = vpstore_taking.req;

	vpstore_taking.req = NULL;
	vpstore_dump_part(vpstore_taking.vp, vpstore_taking.d, req,
			  VIRTIO_PSTORE_TYPE_FTRACE, ++vpstore_taking.part,
			  vpstore_taking.len, last);
	vpstore_taking.len = 0;
}

static bool vpstore_trace_fits(size_t len)
{
	return vpstore_taking.req->size - VPSTORE_HEAD_ROOM -
	       vpstore_taking.len > len;
}

/* Called with what printk was told to print, without a newline. */
static void vpstore_trace_probe(void *data, const char *text, size_t len)
{
	struct vpstore_trace *t = data;
	struct vpstore_dump *d = vpstore_taking.d;
	char *to;

	/*
	 * Whoever sees its own number here wrote it itself; an oops's trace
	 * that a panic has cut short is over.
	 */
	if (READ_ONCE(vpstore_taking.cpu) != raw_smp_processor_id() ||
	    vpstore_taking.vp != t->vp ||
	    (READ_ONCE(t->vp->in_panic) && d == &t->vp->oops))
		return;

	vpstore_taking.messages++;
	if (vpstore_taking.req && !vpstore_trace_fits(len))
		vpstore_trace_part(false);
	if (!vpstore_taking.req)
		vpstore_taking.req = vpstore_get(t->vp, &t->vp->dumps, d->queue,
						 &d->budget);
	if (!vpstore_taking.req || !vpstore_trace_fits(len))
		return;

	to = vpstore_taking.req->data + VPSTORE_HEAD_ROOM + vpstore_taking.len;
	memcpy(to, text, len);
	to[len] = '\n';
	vpstore_taking.len += len + 1;
}

/*
 * Send the kernel's trace. What this prints overwrites the log for all others
 * who would keep it, so the log is stored by now.
 *
 * Serialized by the dump's busy flag, and an oops's by printk's own rule that
 * one oops at a time gets this far.
 */
static void vpstore_trace_send(struct vpstore_trace *t, struct vpstore_dump *d)
{
	struct vpstore *vp = t->vp;
	bool panic = d == &vp->panic, paused;
	int level = console_loglevel;

	if (!t->probed)
		return;

	vpstore_taking.vp = vp;
	vpstore_taking.d = d;
	vpstore_taking.req = NULL;
	vpstore_taking.len = 0;
	vpstore_taking.part = 0;
	vpstore_taking.messages = 0;

	/* The console gets the oops's report before the trace overwrites it. */
	paused = vpstore_console_pause(vp, panic);
	console_loglevel = VPSTORE_SILENT;
	WRITE_ONCE(vpstore_taking.cpu, raw_smp_processor_id());
	ftrace_dump(DUMP_ALL);
	WRITE_ONCE(vpstore_taking.cpu, -1);
	cmpxchg(&console_loglevel, VPSTORE_SILENT, level);

	if (vpstore_taking.req)
		vpstore_trace_part(true);
	vpstore_wait(vp, d->queue, &d->budget);

	/* The log now ends with the trace: neither dump nor console wants it. */
	vpstore_log_skip(&d->log, vpstore_taking.messages);
	if (paused)
		vpstore_console_skip(vp, panic, vpstore_taking.messages);
}

/* A panic has cut it short: what this CPU prints is no trace any more. */
static void vpstore_trace_abandon(void)
{
	WRITE_ONCE(vpstore_taking.cpu, -1);
}

static void vpstore_trace_listen(struct vpstore_trace *t)
{
	if (!trace || !vpstore_takes(t->vp, VIRTIO_PSTORE_TYPE_FTRACE))
		return;
	if (!vpstore_probe_printk(vpstore_trace_probe, t))
		t->probed = true;
	else
		dev_warn(&t->vp->vdev->dev,
			 "can't listen to printk: no trace\n");
}

static void vpstore_trace_stop_listening(struct vpstore_trace *t)
{
	if (!t->probed)
		return;
	vpstore_unprobe_printk(vpstore_trace_probe, t);
	tracepoint_synchronize_unregister();
}

#else

static void vpstore_trace_send(struct vpstore_trace *t, struct vpstore_dump *d)
{
}

static void vpstore_trace_abandon(void)
{
}

static void vpstore_trace_listen(struct vpstore_trace *t)
{
	if (trace && vpstore_takes(t->vp, VIRTIO_PSTORE_TYPE_FTRACE))
		dev_warn(&t->vp->vdev->dev,
			 "trace=1 needs Linux 6.4, built with tracepoints: no trace\n");
}

static void vpstore_trace_stop_listening(struct vpstore_trace *t)
{
}

#endif /* VPSTORE_TRACEPOINT */

static int vpstore_trace_on_event(struct notifier_block *nb,
				  unsigned long event, void *data)
{
	struct vpstore_trace *t = container_of(nb, struct vpstore_trace,
					       events);

	if (event == VPSTORE_PANIC_AGAIN)
		vpstore_trace_abandon();
	else if (event == VPSTORE_OOPS_SENT && t->vp->oops.stored)
		vpstore_trace_send(t, &t->vp->oops);
	else if (event == VPSTORE_PANIC_SENT && t->vp->panic.stored)
		vpstore_trace_send(t, &t->vp->panic);
	return NOTIFY_DONE;
}

/**
 * vpstore_trace_start - have the trace sent, if that is wanted
 * @vp:	device whose console was started
 *
 * Without it the rest of the driver works.
 */
void vpstore_trace_start(struct vpstore *vp)
{
	struct vpstore_trace *t = kzalloc(sizeof(*t), GFP_KERNEL);

	if (!t)
		return;
	vp->trace = t;
	t->vp = vp;
	vpstore_trace_listen(t);
	t->events.notifier_call = vpstore_trace_on_event;
	atomic_notifier_chain_register(&vp->events, &t->events);
}

/**
 * vpstore_trace_stop - undo vpstore_trace_start()
 * @vp:	device whose queues are stopped
 */
void vpstore_trace_stop(struct vpstore *vp)
{
	struct vpstore_trace *t = vp->trace;

	if (!t)
		return;
	atomic_notifier_chain_unregister(&vp->events, &t->events);
	vpstore_trace_stop_listening(t);
	vp->trace = NULL;
	kfree(t);
}
