/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _VPSTORE_CONSOLE_H
#define _VPSTORE_CONSOLE_H
/*
 * virtio-pstore driver: what the console's files share: console_panic.c is the
 * lowest of them, and console_listen.c the uppermost.
 */
#include <linux/console.h>
#include <linux/irq_work.h>
#include <linux/poll.h>
#include <linux/smp.h>
#include <linux/workqueue.h>

#include "parts.h"

/**
 * struct vpstore_listener - how the driver learns of messages
 * @probed:	a probe hears them all; then all below is unused
 * @con:	called for what console_loglevel lets through
 * @devices:	devtmpfs,
 * @kmsg:	and /dev/kmsg in it
 * @poll:	how to wait for it
 * @waiting:	where its readers wait
 * @reader:	called when they are woken
 */
struct vpstore_listener {
	bool			probed;
	struct console		con;
	struct vfsmount		*devices;
	struct file		*kmsg;
	poll_table		poll;
	wait_queue_head_t	*waiting;
	wait_queue_entry_t	reader;
};

/**
 * struct vpstore_console_cpu - makes a CPU look for lines in the log
 * @console:	the console
 * @own:	an interrupt that the CPU raises itself
 * @from_other:	one that another CPU raises,
 * @raised:	while it is under way
 * @worker:	some time after either of them
 *
 * printk may be called with any lock held; what takes locks is done in these.
 */
struct vpstore_console_cpu {
	struct vpstore_console	*console;
	struct irq_work		own;
	call_single_data_t	from_other;
	atomic_t		raised;
	struct delayed_work	worker;
};

/**
 * struct vpstore_console - the console's text
 * @vp:		the device
 * @events:	what the core tells
 * @listener:	how it learns of messages
 * @on:		it is sent
 * @pool:	its requests
 * @busy:	somebody takes lines from the log; never waited for
 * @log:	how far it was sent; whoever holds @busy
 * @next:	the first line that was not sent; what a panic goes on from,
 *		should the holder of @busy have been stopped
 * @printed:	bytes that were printed since the log was last looked at
 * @no_buffer:	all requests were under way
 * @message:	there was a message since a worker came last
 * @due:	when those are late who were called to look, 0 if none were
 * @cpus:	struct vpstore_console_cpu of each
 * @wq:		where workers take lines from the log
 * @filling:	a panic's request that isn't full yet,
 * @filled:	and the bytes in it
 * @panic_busy:	as @busy, after the panic
 * @flushed:	kmsg_dump() was called; what comes now comes alone
 */
struct vpstore_console {
	struct vpstore		*vp;
	struct notifier_block	events;
	struct vpstore_listener	listener;

	bool			on;
	struct vpstore_pool	pool;
	atomic_t		busy;
	struct vpstore_log	log;
	u64			next;
	atomic_t		printed;
	bool			no_buffer;
	atomic_t		message;
	atomic_t		due;
	struct vpstore_console_cpu __percpu *cpus;
	struct workqueue_struct	*wq;

	struct vpstore_request	*filling;
	size_t			filled;
	atomic_t		panic_busy;
	bool			flushed;
};

/* console_panic.c */
void vpstore_panic_console_begin(struct vpstore_console *c);
void vpstore_panic_console_again(struct vpstore_console *c);
void vpstore_panic_console_send(struct vpstore_console *c);
bool vpstore_panic_console_pause(struct vpstore_console *c);
void vpstore_panic_console_flush(struct vpstore_console *c);
void vpstore_panic_console_message(struct vpstore_console *c, const char *text,
				   size_t len);

/* console.c */
void vpstore_console_message(struct vpstore_console *c, size_t len);
void vpstore_console_look(struct vpstore_console *c);

#endif /* _VPSTORE_CONSOLE_H */
