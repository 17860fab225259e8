/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _VPSTORE_H
#define _VPSTORE_H
/*
 * virtio-pstore driver: the core, which its other files build on.
 *
 * Each file includes and calls only what stands above it:
 *
 *   request.c	the memory that the device sees, and who owns it
 *   queue.c	the virtqueues: sending, waiting, giving up
 *   log.c	reads the kernel's log, and counts what of it is missing
 *   dump.c	the whole log at oops and panic
 *   pstore.c	the pstore source: pstore's callbacks as requests
 *
 * Kconfig can leave out each of these (parts.h):
 *
 *   quirks.c		devices that offer less than they have
 *   boot_id.c		the boot id that user space knows
 *   reference.c	at a panic, the log as it lies in memory
 *   pmsg.c		user space's text
 *   console.c		every message printk takes; console_panic.c after a
 *			panic, console_listen.c learns of messages
 *   trace.c		the kernel's trace at oops and panic
 *
 * And last the virtio driver, which starts and stops them all: main.c. What
 * the core tells the others goes through vpstore.events.
 *
 * Locks, outer to inner: pstore's own (read_mutex, buf_lock), then
 * vpstore.command_lock, then vpstore_queue.lock. The last is the only one
 * that dumps and console writes take: a dump leaves a queue alone whose lock
 * it doesn't get in 10 ms, and console writes don't wait at all.
 */
#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/jiffies.h>
#include <linux/kmsg_dump.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/pstore.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/virtio.h>
#include <linux/wait.h>

#include "include/uapi/linux/virtio_pstore.h"

/* Buffers for dumps: as many parts may be under way. pstore waits for each. */
#define VPSTORE_DUMP_REQUESTS	8
#define VPSTORE_CLASSIC_REQUESTS 4
#define VPSTORE_DUMP_SIZE	(128 * 1024)
/*
 * Of them, those that only a panic may use: one for the console's text that
 * isn't full yet, and one for everything else.
 */
#define VPSTORE_PANIC_REQUESTS	2

/* Requests in a pool at most. */
#define VPSTORE_POOL_MAX	16
/* Pieces of memory beside its buffer that a WRITE may carry. */
#define VPSTORE_EXTRA_MAX	6

/* Queues a driver knows; a device may have fewer. */
#define VPSTORE_QUEUES		(VIRTIO_PSTORE_VQ_PANIC + 1)
/* Descriptors of a WRITE: [req][data] [res] */
#define VPSTORE_WRITE_DESCS	3

/* Who can sleep waits no longer than this for a command's answer, or a buffer. */
#define VPSTORE_ANSWER_TIMEOUT	(10 * HZ)

/**
 * enum vpstore_state - who owns a request and its buffers
 * @VPSTORE_FREE:	the driver; anyone may claim it
 * @VPSTORE_CLAIMED:	whoever claimed it, to fill it
 * @VPSTORE_SENT:	the device, until it answers
 *
 * Every change is one atomic operation, so that a panic can claim a free
 * request without any lock.
 */
enum vpstore_state {
	VPSTORE_FREE,
	VPSTORE_CLAIMED,
	VPSTORE_SENT,
};

/**
 * struct vpstore_request - a request and the memory the device sees of it
 * @state:	enum vpstore_state; it says who owns everything below
 * @used:	used length the device reported, valid once it answered
 * @size:	bytes at @data
 * @offset:	where WRITE's text begins in @data,
 * @len:	and its length
 * @queue:	the queue it was last sent to
 * @data:	WRITE's text, or READ's answer; the request's own kmalloc'ed memory
 * @extra:	memory that WRITE carries behind its text, where it lies
 * @extra_count: how many pieces
 * @req:	device-readable
 * @res:	device-writable
 * @info:	device-writable, READ only
 *
 * Requests are kmalloc'ed one by one and live as long as the driver is bound.
 * But for @extra, their memory is the only memory that ever enters a descriptor:
 * vmalloc'ed, static and stack memory has no guest-physical address to be had
 * from its virtual one (and user-mode-linux doesn't share .data and .bss at
 * all). Text is copied into @data rather than sent from where it lies, because
 * its owner writes to that place again while a slow device may still read it.
 */
struct vpstore_request {
	atomic_t		state;
	u32			used;
	u32			size;
	u32			offset;
	u32			len;
	struct vpstore_queue	*queue;
	void			*data;
	struct scatterlist	extra[VPSTORE_EXTRA_MAX];
	unsigned int		extra_count;
	struct virtio_pstore_req	req ____cacheline_aligned;
	struct virtio_pstore_res	res ____cacheline_aligned;
	struct virtio_pstore_fileinfo	info;
};

/**
 * struct vpstore_pool - requests for one purpose
 * @requests:	all of them
 * @count:	how many
 * @reserved:	how many of them only a panic may claim
 */
struct vpstore_pool {
	struct vpstore_request	*requests[VPSTORE_POOL_MAX];
	unsigned int		count;
	unsigned int		reserved;
};

/**
 * struct vpstore_queue - a virtqueue
 * @lock:	guards @vq; held for a few microseconds at a time
 * @vq:		NULL while the device is stopped
 * @keep:	descriptors that what has no budget leaves to what has one
 * @quiet:	interrupts are asked for only where somebody needs a buffer
 * @dead:	a request was not answered in time, and no answer has come
 *		since; new requests fail at once
 * @error:	what the device last answered to a part of a dump that it
 *		didn't store, 0 if all went well
 */
struct vpstore_queue {
	raw_spinlock_t		lock;
	struct virtqueue	*vq;
	unsigned int		keep;
	bool			quiet;
	bool			dead;
	int			error;
};

/**
 * struct vpstore_budget - time that one dump may spend waiting
 * @limit_ms:	milliseconds for the whole dump, all its parts together
 * @left_us:	microseconds that are left of them
 *
 * Only the delays between looks at a queue count (vpstore_delay()), not the
 * time it takes to format and compress the parts.
 */
struct vpstore_budget {
	u32	limit_ms;
	u32	left_us;
};

/**
 * struct vpstore_walk - one walk over the device's records, from OPEN to CLOSE
 * @end:	when it has taken long enough, in jiffies
 * @memory:	bytes that its records may still take
 * @shown:	records that pstore was given
 * @passed:	records that it has no use for
 */
struct vpstore_walk {
	unsigned long	end;
	u64		memory;
	unsigned int	shown;
	unsigned int	passed;
};

/**
 * struct vpstore_log - a place in the kernel's log
 * @iter:	the next line
 * @end:	the first message that is left to others
 * @lost:	messages that are missing before the next line, beside those that
 *		their numbers tell of
 * @syslog:	lines begin with <level>
 * @begun:	lines that are missing before the next one are announced
 * @live:	read from within printk, while others print
 * @cpus_stopped: no other CPU will finish a line it has begun
 */
struct vpstore_log {
	struct kmsg_dump_iter	iter;
	u64			end;
	u64			lost;
	bool			syslog;
	bool			begun;
	bool			live;
	bool			cpus_stopped;
};

/**
 * struct vpstore_dump - a dump under way
 * @busy:	somebody works on it; never waited for
 * @open:	it was begun by a notifier, and kmsg_dump() is yet to come
 * @stored:	so far the device has stored all of it
 * @owner:	who oopsed, while @open
 * @reason:	why
 * @count:	oopses since boot
 * @part:	the last one sent
 * @time:	when it began, nanoseconds since 1970
 * @log:	how far the log was sent
 * @queue:	where the parts go, NULL if none can be used
 * @budget:	time it may wait in all
 */
struct vpstore_dump {
	atomic_t		busy;
	bool			open;
	bool			stored;
	struct task_struct	*owner;
	enum kmsg_dump_reason	reason;
	u32			count;
	u32			part;
	u64			time;
	struct vpstore_log	log;
	struct vpstore_queue	*queue;
	struct vpstore_budget	budget;
};

/**
 * enum vpstore_event - what the core tells others, with the device as data
 * @VPSTORE_ANSWERED:	the device has used a buffer; from its interrupt
 * @VPSTORE_OOPS_SENT:	as much of an oops's dump as the log holds was sent
 * @VPSTORE_PANIC_AGAIN: a panic came inside a panic's work: what was under way
 *			there is never finished. After @retried it isn't begun
 *			anew either
 * @VPSTORE_PANIC_SENT:	as much of the panic's dump as the log holds was sent
 * @VPSTORE_DUMPED:	kmsg_dump() has been, after an oops or a panic
 */
enum vpstore_event {
	VPSTORE_ANSWERED,
	VPSTORE_OOPS_SENT,
	VPSTORE_PANIC_AGAIN,
	VPSTORE_PANIC_SENT,
	VPSTORE_DUMPED,
};

struct vpstore_console;
struct vpstore_trace;

/**
 * struct vpstore - a virtio-pstore device
 * @vdev:		the virtio device
 * @extended:		VIRTIO_PSTORE_F_EXTENDED, or quirks.c found as much
 * @panic_vq:		VIRTIO_PSTORE_F_PANIC_VQ, likewise
 * @types:		bit N: the device takes records of type N
 * @max_data:		bytes that one WRITE may carry
 * @bufsize:		bytes in a record of pstore's at most
 * @dump_size:		bytes in a buffer for dumps
 * @raw:		dumps are raw, and not pstore's to make
 * @boot_id:		of this boot of the guest
 * @removed:		the device is being removed: who sleeps for it gives up
 * @queues:		by virtqueue index
 * @command_q:		OPEN, READ, ERASE and CLOSE go here
 * @write_q:		WRITE goes here; the same one if there is only one
 * @panic_q:		a panic's queue; @command_q if it has none of its own
 * @command_lock:	one command at a time; its holder owns @command
 * @command:		the commands' request
 * @answered:		where a command waits
 * @psi:		the pstore source; pstore owns its locks. psi.buf is
 *			pstore's to write to and never enters a descriptor
 * @registered:		pstore took @psi
 * @walk:		the walk over the device's records; psi.read_mutex
 * @dumps:		requests for dumps, and for all text after a panic
 * @oopses:		oopses and panics since boot, as pstore counts them
 * @in_panic:		a panic has come, and this is all that runs
 * @retried:		a panic inside this driver's panic code had its turn
 * @oops:		the oops under way; where pstore dumps, psi.buf_lock
 * @panic:		the panic
 * @dumper:		called for both, last
 * @panic_nb:		called first at a panic,
 * @die_nb:		and first at an oops
 * @reboot_nb:		called before an orderly reboot
 * @send_otherwise:	sends what it can of a panic's log, and has @panic.log
 *			go on behind that; NULL if nothing does
 * @events:		who wants to know of enum vpstore_event
 * @pmsg:		pmsg.c's buffers, NULL where there are none
 * @console:		console.c's, NULL where the console isn't sent
 * @trace:		trace.c's, NULL where there is none
 */
struct vpstore {
	struct virtio_device	*vdev;
	bool			extended;
	bool			panic_vq;
	u32			types;
	u32			max_data;
	u32			bufsize;
	u32			dump_size;
	bool			raw;
	u8			boot_id[VIRTIO_PSTORE_BOOT_ID_LEN];
	bool			removed;

	struct vpstore_queue	queues[VPSTORE_QUEUES];
	struct vpstore_queue	*command_q;
	struct vpstore_queue	*write_q;
	struct vpstore_queue	*panic_q;

	struct mutex		command_lock;	/* one command at a time */
	struct vpstore_request	*command;
	wait_queue_head_t	answered;

	struct pstore_info	psi;
	bool			registered;
	struct vpstore_walk	walk;

	struct vpstore_pool	dumps;
	atomic_t		oopses;
	bool			in_panic;
	bool			retried;
	struct vpstore_dump	oops;
	struct vpstore_dump	panic;
	struct kmsg_dumper	dumper;
	struct notifier_block	panic_nb;
	struct notifier_block	die_nb;
	struct notifier_block	reboot_nb;
	void			(*send_otherwise)(struct vpstore *vp);
	struct atomic_notifier_head events;

	struct vpstore_pool	*pmsg;
	struct vpstore_console	*console;
	struct vpstore_trace	*trace;
};

static inline bool vpstore_takes(const struct vpstore *vp, unsigned int type)
{
	return vp->types & BIT(type);
}

/* request.c */
struct vpstore_request *vpstore_request_alloc(u32 size);
void vpstore_request_free(struct vpstore_request *req);
int vpstore_pool_alloc(struct vpstore_pool *pool, unsigned int count,
		       u32 size);
void vpstore_pool_free(struct vpstore_pool *pool);
bool vpstore_claim(struct vpstore_request *req);
struct vpstore_request *vpstore_pool_claim(struct vpstore_pool *pool,
					   bool in_panic);
bool vpstore_pool_idle(const struct vpstore_pool *pool,
		       const struct vpstore_queue *q);
void vpstore_release(struct vpstore_request *req);
bool vpstore_is_free(const struct vpstore_request *req);
int vpstore_result(const struct vpstore_request *req);
void vpstore_fill_write(struct vpstore_request *req, u16 type, u32 count,
			u32 flags);

/* queue.c */
int vpstore_queues_start(struct vpstore *vp);
void vpstore_queues_stop(struct vpstore *vp);
void vpstore_budget_init(struct vpstore_budget *budget, unsigned int ms);
int vpstore_reap(struct vpstore_queue *q, struct vpstore_budget *budget);
struct vpstore_request *vpstore_get(struct vpstore *vp,
				    struct vpstore_pool *pool,
				    struct vpstore_queue *q,
				    struct vpstore_budget *budget);
int vpstore_send(struct vpstore_queue *q, struct vpstore_request *req,
		 struct vpstore_budget *budget);
int vpstore_wait(struct vpstore *vp, struct vpstore_queue *q,
		 struct vpstore_budget *budget);
int vpstore_command(struct vpstore *vp, u16 cmd, u16 type, u64 id, u32 count,
		    unsigned long timeout);
struct vpstore_queue *vpstore_choose_queue(struct vpstore *vp, bool panic,
					   struct vpstore_budget *budget);
void vpstore_settle(struct vpstore *vp, struct vpstore_budget *budget);

/* log.c */
bool vpstore_log_oldest(u64 *seq);
size_t vpstore_log_fill(struct vpstore_log *log, char *buf, size_t size);
void vpstore_log_skip(struct vpstore_log *log, u64 count);

/* Room that vpstore_log_fill() wants for one more message. */
#define VPSTORE_LINE_ROOM	2304

/* dump.c */
unsigned int vpstore_timeout_ms(enum kmsg_dump_reason reason);
int vpstore_dump_register(struct vpstore *vp);
void vpstore_dump_unregister(struct vpstore *vp);
size_t vpstore_dump_head(struct vpstore *vp, struct vpstore_dump *d,
			 char *buf, size_t size, u32 part, const char *words);
int vpstore_dump_part(struct vpstore *vp, struct vpstore_dump *d,
		      struct vpstore_request *req, u16 type, u32 part,
		      size_t len, bool last);

/* Room for the line that vpstore_dump_head() writes. */
#define VPSTORE_HEAD_ROOM	192

/* pstore.c */
int vpstore_pstore_register(struct vpstore *vp);
void vpstore_pstore_unregister(struct vpstore *vp);

#endif /* _VPSTORE_H */
