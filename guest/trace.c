// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the kernel's trace at oops and panic.
 *
 * The trace's buffers can't be read by a module, and only the kernel knows
 * how to format what is in them. ftrace_dump() does both, and prints. Every
 * line it prints passes the tracepoint that listen.c stands at, where it is
 * taken for a record of its own; nothing of it shows on any console. It does
 * go through the log and overwrites it, but that was sent before.
 */
#include <linux/console.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/smp.h>
#include <linux/string.h>

#include "vpstore.h"

/*
 * Even messages of level 0 stay off the other consoles then, but not a panic
 * that comes meanwhile: at 0, console_verbose() would leave them silent.
 */
#define VPSTORE_SILENT	(-1)

static bool trace;
module_param(trace, bool, 0444);
MODULE_PARM_DESC(trace,
		 "Send the kernel's trace at oops and panic, which ends tracing (default off; Linux 6.3 and later)");

/* The trace that is being taken, by this CPU only. */
static struct {
	int			cpu;
	struct vpstore		*vp;
	struct vpstore_dump	*d;
	struct vpstore_slot	*slot;
	size_t			len;
	u32			part;
	u64			messages;
} vpstore_taking = { .cpu = -1 };

static void vpstore_trace_part(bool last)
{
	struct vpstore_dump *d = vpstore_taking.d;
	struct vpstore_slot *slot = vpstore_taking.slot;
	struct vpstore_text text = {
		.type	= VIRTIO_PSTORE_TYPE_FTRACE,
		.count	= d->count,
	};
	char head[VPSTORE_HEAD_ROOM];
	size_t n;

	n = vpstore_dump_head(vpstore_taking.vp, d, head, sizeof(head),
			      ++vpstore_taking.part, last ? " last" : "");
	slot->head = VPSTORE_HEAD_ROOM - n;
	memcpy(slot->data + slot->head, head, n);
	text.len = n + vpstore_taking.len;
	vpstore_taking.slot = NULL;
	vpstore_taking.len = 0;
	vpstore_chunk_send(vpstore_taking.vp, d->queue, slot, &text,
			   &d->budget);
}

/**
 * vpstore_trace_wanted - is the trace to be sent?
 * @vp:	device
 */
bool vpstore_trace_wanted(const struct vpstore *vp)
{
	return trace && vpstore_takes(vp, VIRTIO_PSTORE_TYPE_FTRACE);
}

/**
 * vpstore_trace_take - take a message if it is the trace's
 * @vp:		device; to another's the message is one like any other
 * @text:	what printk was told to print, without a newline
 * @len:	its length
 *
 * Return: true if it is.
 */
bool vpstore_trace_take(struct vpstore *vp, const char *text, size_t len)
{
	struct vpstore_slot *slot;

	/* Whoever sees its own number here wrote it itself. */
	if (READ_ONCE(vpstore_taking.cpu) != raw_smp_processor_id() ||
	    vpstore_taking.vp != vp)
		return false;

	vpstore_taking.messages++;
	slot = vpstore_taking.slot;
	if (slot && slot->size - VPSTORE_HEAD_ROOM - vpstore_taking.len <
	    len + 1)
		vpstore_trace_part(false);
	if (!vpstore_taking.slot)
		vpstore_taking.slot = vpstore_chunk_get(vp,
							vpstore_taking.d->queue,
							&vpstore_taking.d->budget);
	slot = vpstore_taking.slot;
	if (!slot || slot->size - VPSTORE_HEAD_ROOM - vpstore_taking.len <
	    len + 1)
		return true;

	memcpy(slot->data + VPSTORE_HEAD_ROOM + vpstore_taking.len, text, len);
	vpstore_taking.len += len;
	((char *)slot->data)[VPSTORE_HEAD_ROOM + vpstore_taking.len++] = '\n';
	return true;
}

/**
 * vpstore_trace_abandon - end the trace of an oops that a panic has cut short
 *
 * Whoever took it was stopped, or has become the panic: what this CPU prints
 * is no trace any more.
 */
void vpstore_trace_abandon(void)
{
	WRITE_ONCE(vpstore_taking.cpu, -1);
}

/**
 * vpstore_trace_dump - send the kernel's trace
 * @vp:	device
 * @d:	dump that the log was sent with, and stored: what this prints
 *	overwrites it for all others who would keep it
 *
 * Serialized by the dump's busy flag, and an oops's by printk's own rule that
 * one oops at a time gets this far.
 */
void vpstore_trace_dump(struct vpstore *vp, struct vpstore_dump *d)
{
	bool dying = d == &vp->panic, paused;
	int level = console_loglevel;

	if (!vpstore_trace_wanted(vp) || !vp->listener.tracepoint)
		return;

	vpstore_taking.vp = vp;
	vpstore_taking.d = d;
	vpstore_taking.slot = NULL;
	vpstore_taking.len = 0;
	vpstore_taking.part = 0;
	vpstore_taking.messages = 0;

	/* The console gets the oops's report before the trace overwrites it. */
	paused = vpstore_console_pause(vp, dying);
	console_loglevel = VPSTORE_SILENT;
	WRITE_ONCE(vpstore_taking.cpu, raw_smp_processor_id());
	ftrace_dump(DUMP_ALL);
	WRITE_ONCE(vpstore_taking.cpu, -1);
	cmpxchg(&console_loglevel, VPSTORE_SILENT, level);

	if (vpstore_taking.slot)
		vpstore_trace_part(true);
	vpstore_chunks_wait(vp, d->queue, &d->budget);

	/* The log now ends with the trace: neither dump nor console wants it. */
	vpstore_log_skip(&d->log, vpstore_taking.messages);
	if (paused)
		vpstore_console_skip(vp, dying, vpstore_taking.messages);
}
