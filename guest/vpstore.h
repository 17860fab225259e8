/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _VPSTORE_H
#define _VPSTORE_H
/*
 * virtio-pstore driver: what its files share.
 *
 *   main.c     the virtio driver: probe, remove, suspend, config space
 *   slot.c     buffers, and who owns which
 *   ring.c     the virtqueues, and commands that sleep
 *   polled.c   dumps: waiting, giving up
 *   stream.c   console and pmsg text, for which nobody waits
 *   source.c   the pstore source: pstore's callbacks as requests
 *   log.c      reads the kernel's log, and says what of it is missing
 *   dump.c     the whole log at oops and panic, raw
 *   prb.c      the same at panic, as it lies in memory
 *   listen.c   how the driver learns of messages
 *   console.c  every message printk takes
 *   dying.c    the same after a panic
 *   trace.c    the kernel's trace at oops and panic
 *   pmsg.c     what user space has to say
 *
 * Locks, outer to inner: pstore's own (read_mutex, buf_lock), then
 * vpstore.command_lock, then vpstore_queue.lock. The last is the only one
 * that dumps and console writes take: a dump leaves a queue alone whose lock
 * it doesn't get in 10 ms, and console writes don't wait at all.
 */
#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/console.h>
#include <linux/irq_work.h>
#include <linux/kmsg_dump.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/poll.h>
#include <linux/pstore.h>
#include <linux/scatterlist.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/virtio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "include/uapi/linux/virtio_pstore.h"

/* A second one lets a panic write while the device keeps an oops's buffer. */
#define VPSTORE_DUMP_SLOTS	2
/* For the raw dump, and all text of a dying guest: as many in flight. */
#define VPSTORE_CHUNKS_MIN	4
#define VPSTORE_CHUNKS_MAX	32
/*
 * Of them, those that only a dying guest may claim: one for the console's text
 * that isn't full yet, and one for everything else.
 */
#define VPSTORE_DYING_CHUNKS	2
#define VPSTORE_CONSOLE_SLOTS	16
#define VPSTORE_CONSOLE_SIZE	(32 * 1024)
#define VPSTORE_PMSG_SLOTS	4
#define VPSTORE_PMSG_SIZE	(4 * 1024)

/* Descriptors of a WRITE: [req][data] [res] */
#define VPSTORE_WRITE_DESCS	3
/* More of them, for memory that it refers to: three rings, each of which may wrap. */
#define VPSTORE_REFS		6

/* Queues a driver knows; a device may have fewer. */
#define VPSTORE_QUEUES		(VIRTIO_PSTORE_VQ_PANIC + 1)

/**
 * enum vpstore_slot_state - who owns a slot and its buffers
 * @VPSTORE_FREE:	the driver; anyone may claim it
 * @VPSTORE_CLAIMED:	whoever claimed it, to fill it
 * @VPSTORE_AWAITED:	the device; somebody waits for the answer
 * @VPSTORE_UNWATCHED:	the device; nobody waits, or does so any longer
 * @VPSTORE_DONE:	whoever waited, to read the answer
 *
 * Every change is one atomic operation, so that a dying CPU can give a
 * request up, or claim a free slot, without any lock.
 */
enum vpstore_slot_state {
	VPSTORE_FREE,
	VPSTORE_CLAIMED,
	VPSTORE_AWAITED,
	VPSTORE_UNWATCHED,
	VPSTORE_DONE,
};

/**
 * struct vpstore_slot - one request and all the memory the device sees of it
 * @state:	enum vpstore_slot_state; it says who owns everything below
 * @used:	used length the device reported, valid once DONE
 * @size:	bytes at @data
 * @head:	where WRITE's text begins in @data
 * @queue:	the queue it was last submitted to
 * @data:	WRITE's text, or READ's answer; the slot's own kmalloc'ed memory
 * @refs:	what WRITE carries behind @data, where it lies
 * @refs_count:	how many of them
 * @req:	device-readable
 * @res:	device-writable
 * @info:	device-writable, READ only
 *
 * Slots are kmalloc'ed one by one and live as long as the driver is bound.
 * But for @refs, their memory is the only memory that ever enters a descriptor:
 * vmalloc'ed, static and stack memory has no guest-physical address to be had
 * from its virtual one (and user-mode-linux doesn't share .data and .bss at
 * all). Text is copied into @data rather than sent from where it lies, because
 * its owner writes to that place again while a slow device may still read it.
 */
struct vpstore_slot {
	atomic_t		state;
	u32			used;
	u32			size;
	u32			head;
	struct vpstore_queue	*queue;
	void			*data;
	struct scatterlist	refs[VPSTORE_REFS];
	unsigned int		refs_count;
	struct virtio_pstore_req	req ____cacheline_aligned;
	struct virtio_pstore_res	res ____cacheline_aligned;
	struct virtio_pstore_fileinfo	info;
};

/**
 * struct vpstore_queue - a virtqueue
 * @lock:	guards @vq; held for a few microseconds at a time
 * @vq:		NULL while the device is stopped
 * @quiet:	interrupts are asked for only where somebody needs a slot
 * @dead:	a request was not answered in time, and no answer has come
 *		since; new requests fail at once
 * @error:	what the device last answered to a part of a raw dump that it
 *		didn't store, 0 if all went well
 */
struct vpstore_queue {
	raw_spinlock_t		lock;
	struct virtqueue	*vq;
	bool			quiet;
	bool			dead;
	int			error;
};

/**
 * struct vpstore_budget - time that one dump may spend waiting
 * @limit:	nanoseconds for the whole dump, all its parts together
 * @spent:	nanoseconds earlier waits took
 * @start:	clock at the start of the wait under way
 * @counted:	nanoseconds of delay loops in the wait under way
 *
 * Only waiting counts, not the time pstore takes to format and compress the
 * parts. Two measures run side by side and the larger one holds: the clock,
 * which needs no interrupt, and the delay loops, in case it stands still.
 */
struct vpstore_budget {
	u64	limit;
	u64	spent;
	u64	start;
	u64	counted;
};

/**
 * struct vpstore_walk - one walk over the device's records, from OPEN to CLOSE
 * @end:	when it has taken long enough, in jiffies
 * @room:	bytes of memory that its records may still take
 * @shown:	records that pstore was given
 * @passed:	records that it has no use for
 */
struct vpstore_walk {
	unsigned long	end;
	u64		room;
	unsigned int	shown;
	unsigned int	passed;
};

/**
 * struct vpstore_text - what a WRITE carries
 * @type:	VIRTIO_PSTORE_TYPE_*
 * @flags:	VIRTIO_PSTORE_FL_*
 * @count:	oopses since boot
 * @data:	any kernel memory; the caller's, read only during the call
 * @len:	bytes at @data
 */
struct vpstore_text {
	u16		type;
	u32		flags;
	u32		count;
	const void	*data;
	size_t		len;
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
 * @dying:	no other CPU will finish a line it has begun
 */
struct vpstore_log {
	struct kmsg_dump_iter	iter;
	u64			end;
	u64			lost;
	bool			syslog;
	bool			begun;
	bool			live;
	bool			dying;
};

/**
 * struct vpstore_dump - a raw dump under way
 * @busy:	somebody works on it; never waited for
 * @open:	it was begun by a notifier, and kmsg_dump() is yet to come
 * @owner:	who oopsed, while @open
 * @reason:	why
 * @count:	oopses since boot
 * @part:	the last one sent
 * @time:	when it began, nanoseconds since 1970
 * @log:	how far the log was sent
 * @queue:	where the parts go
 * @budget:	time it may wait in all
 */
struct vpstore_dump {
	atomic_t		busy;
	bool			open;
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
 * struct vpstore_console - the console's text
 * @on:		it is sent
 * @busy:	somebody takes lines from the log; never waited for
 * @log:	how far it was sent; whoever holds @busy
 * @next:	the first line that was not sent; what a panic goes on from,
 *		should the holder of @busy have been stopped
 * @fresh:	bytes that were printed since the last look
 * @starved:	no slot was free
 * @noted:	there was a message since a worker came last
 * @due:	when those who were called to look are late, 0 if none were
 * @pokes:	struct vpstore_poke of each CPU
 * @wq:		where workers take lines from the log
 * @chunk:	a dying guest's text that isn't full yet,
 * @chunk_len:	and its length
 * @dying_busy:	as @busy, after the panic
 * @flushed:	kmsg_dump() was called; what comes now comes alone
 * @reboot_nb:	sends the rest before an orderly reboot
 */
struct vpstore_console {
	bool			on;
	atomic_t		busy;
	struct vpstore_log	log;
	u64			next;
	atomic_t		fresh;
	bool			starved;
	atomic_t		noted;
	atomic_t		due;
	struct vpstore_poke __percpu *pokes;
	struct workqueue_struct	*wq;
	struct vpstore_slot	*chunk;
	size_t			chunk_len;
	atomic_t		dying_busy;
	bool			flushed;
	struct notifier_block	reboot_nb;
};

/**
 * struct vpstore_poke - makes a CPU look for lines in the log
 * @vp:		device
 * @here:	that CPU calls itself: an interrupt
 * @there:	another calls it: likewise,
 * @asked:	while it is under way
 * @later:	a worker, some time after either of them
 *
 * printk may be called with any lock held; what takes locks is done in these.
 */
struct vpstore_poke {
	struct vpstore		*vp;
	struct irq_work		here;
	call_single_data_t	there;
	atomic_t		asked;
	struct delayed_work	later;
};

/**
 * struct vpstore_listener - how the driver learns of messages
 * @tracepoint:	"console"; NULL where it isn't used, and all below is
 * @con:	called for what console_loglevel lets through
 * @devices:	devtmpfs,
 * @kmsg:	and /dev/kmsg in it
 * @poll:	how to wait for it
 * @waiting:	where its readers wait
 * @reader:	called when they are woken
 */
struct vpstore_listener {
	struct tracepoint	*tracepoint;
	struct console		con;
	struct vfsmount		*devices;
	struct file		*kmsg;
	poll_table		poll;
	wait_queue_head_t	*waiting;
	wait_queue_entry_t	reader;
};

/**
 * struct vpstore - a virtio-pstore device
 * @vdev:		the virtio device
 * @psi:		the pstore source; pstore owns its locks. psi.buf is
 *			pstore's to write to and never enters a descriptor
 * @registered:		pstore took @psi
 * @bufsize:		bytes in a record at most
 * @chunk_size:		bytes in a raw part at most
 * @extended:		VIRTIO_PSTORE_F_EXTENDED, or the config says as much
 * @panic_vq:		VIRTIO_PSTORE_F_PANIC_VQ, likewise
 * @max_data:		bytes that one WRITE may carry
 * @raw:		dumps are raw, and not pstore's to make
 * @by_reference:	and at a panic the log is sent as it lies in memory
 * @types:		bit N: the device takes records of type N
 * @boot_id:		of this boot of the guest
 * @going:		the device is being removed: who sleeps for it gives up
 * @queues:		by virtqueue index
 * @command_q:		OPEN, READ, ERASE and CLOSE go here
 * @write_q:		WRITE goes here; the same one if there is only one
 * @panic_q:		a dying guest's queue; @command_q if it has none of
 *			its own
 * @command_lock:	one command at a time; its holder owns @command
 * @command:		the commands' slot
 * @answered:		where a command waits
 * @walk:		the walk over the device's records; read_mutex
 * @dump:		slots for dumps that pstore makes
 * @budget:		of the dump under way; psi.buf_lock
 * @dump_count:		which dump that is; psi.buf_lock
 * @chunks:		slots for raw dumps, and for all of a dying guest's text
 * @chunk_count:	how many there are
 * @oopses:		oopses and panics since boot, as pstore counts them
 * @dying:		a panic has come, and this is all that runs
 * @retried:		a panic inside this driver's panic code had its turn
 * @oops:		the oops under way
 * @panic:		the panic
 * @dumper:		called for both, last
 * @die_nb:		called first at an oops,
 * @panic_nb:		and at a panic
 * @listener:		how it learns of messages
 * @console:		the console's text
 * @console_slots:	its slots, NULL where it isn't sent
 * @pmsg_slots:		slots for user space's text, NULL where it isn't sent
 */
struct vpstore {
	struct virtio_device	*vdev;
	struct pstore_info	psi;
	bool			registered;
	u32			bufsize;
	u32			chunk_size;
	bool			extended;
	bool			panic_vq;
	u32			max_data;
	bool			raw;
	bool			by_reference;
	u32			types;
	u8			boot_id[VIRTIO_PSTORE_BOOT_ID_LEN];
	bool			going;

	struct vpstore_queue	queues[VPSTORE_QUEUES];
	struct vpstore_queue	*command_q;
	struct vpstore_queue	*write_q;
	struct vpstore_queue	*panic_q;

	struct mutex		command_lock;	/* one command at a time */
	struct vpstore_slot	*command;
	wait_queue_head_t	answered;
	struct vpstore_walk	walk;

	struct vpstore_slot	*dump[VPSTORE_DUMP_SLOTS];
	struct vpstore_budget	budget;
	int			dump_count;

	struct vpstore_slot	*chunks[VPSTORE_CHUNKS_MAX];
	unsigned int		chunk_count;
	atomic_t		oopses;
	bool			dying;
	bool			retried;
	struct vpstore_dump	oops;
	struct vpstore_dump	panic;
	struct kmsg_dumper	dumper;
	struct notifier_block	die_nb;
	struct notifier_block	panic_nb;

	struct vpstore_listener	listener;
	struct vpstore_console	console;
	struct vpstore_slot	*console_slots[VPSTORE_CONSOLE_SLOTS];

	struct vpstore_slot	*pmsg_slots[VPSTORE_PMSG_SLOTS];
};

static inline bool vpstore_takes(const struct vpstore *vp, unsigned int type)
{
	return vp->types & BIT(type);
}

/* Give back a slot that was claimed, or that the device has let go of. */
static inline void vpstore_release(struct vpstore_slot *slot)
{
	atomic_set_release(&slot->state, VPSTORE_FREE);
}

/* slot.c */
int vpstore_slots_alloc(struct vpstore *vp);
void vpstore_slots_free(struct vpstore *vp);

/* ring.c */
int vpstore_ring_start(struct vpstore *vp);
void vpstore_ring_stop(struct vpstore *vp);
int vpstore_command(struct vpstore *vp, u16 cmd, u16 type, u64 id, u32 count,
		    unsigned long timeout);

/* polled.c */
void vpstore_budget_init(struct vpstore_budget *budget, unsigned int ms);
int vpstore_write_wait(struct vpstore *vp, const struct vpstore_text *text,
		       struct vpstore_budget *budget);
struct vpstore_queue *vpstore_dump_queue(struct vpstore *vp, bool dying,
					 struct vpstore_budget *budget);
struct vpstore_slot *vpstore_chunk_get(struct vpstore *vp,
				       struct vpstore_queue *q,
				       struct vpstore_budget *budget);
int vpstore_chunk_send(struct vpstore *vp, struct vpstore_queue *q,
		       struct vpstore_slot *slot,
		       const struct vpstore_text *text,
		       struct vpstore_budget *budget);
int vpstore_chunks_wait(struct vpstore *vp, struct vpstore_queue *q,
			struct vpstore_budget *budget);
void vpstore_settle(struct vpstore *vp, struct vpstore_budget *budget);

/* stream.c */
struct vpstore_slot *vpstore_stream_get(struct vpstore *vp,
					struct vpstore_slot **slots,
					unsigned int count);
int vpstore_stream_send(struct vpstore *vp, struct vpstore_slot *slot,
			u16 type, size_t len);

/* source.c */
int vpstore_source_register(struct vpstore *vp);
void vpstore_source_unregister(struct vpstore *vp);
unsigned int vpstore_timeout_ms(enum kmsg_dump_reason reason);

/* log.c */
bool vpstore_log_oldest(u64 *seq);
size_t vpstore_log_fill(struct vpstore_log *log, char *buf, size_t size);
void vpstore_log_skip(struct vpstore_log *log, u64 count);

/* Room that vpstore_log_fill() wants for one more message. */
#define VPSTORE_LINE_ROOM	2304

/* dump.c */
int vpstore_dump_register(struct vpstore *vp);
void vpstore_dump_unregister(struct vpstore *vp);
size_t vpstore_dump_head(struct vpstore *vp, struct vpstore_dump *d,
			 char *buf, size_t size, u32 part, const char *words);

/* Room for the line that vpstore_dump_head() writes. */
#define VPSTORE_HEAD_ROOM	192

/* prb.c */
bool vpstore_prb_init(const struct vpstore *vp);
void vpstore_prb_dump(struct vpstore *vp, struct vpstore_dump *d);

/* listen.c */
void vpstore_listen_start(struct vpstore *vp);
void vpstore_listen_stop(struct vpstore *vp);

/* console.c */
void vpstore_console_start(struct vpstore *vp);
void vpstore_console_stop(struct vpstore *vp);
void vpstore_console_settle(struct vpstore *vp);
void vpstore_console_halt(struct vpstore *vp);
void vpstore_console_resume(struct vpstore *vp);
void vpstore_console_note(struct vpstore *vp, size_t len);
void vpstore_console_look(struct vpstore *vp);
void vpstore_console_answered(struct vpstore *vp);
void vpstore_console_drain(struct vpstore *vp);
bool vpstore_console_pause(struct vpstore *vp, bool dying);
void vpstore_console_skip(struct vpstore *vp, bool dying, u64 count);

/* dying.c */
void vpstore_console_dying(struct vpstore *vp);
void vpstore_console_abandon(struct vpstore *vp);
void vpstore_console_drain_dying(struct vpstore *vp);
bool vpstore_console_empty_dying(struct vpstore *vp);
void vpstore_console_flush_dying(struct vpstore *vp);
void vpstore_console_epilogue(struct vpstore *vp, const char *text,
			      size_t len);

/* trace.c */
bool vpstore_trace_wanted(const struct vpstore *vp);
void vpstore_trace_dump(struct vpstore *vp, struct vpstore_dump *d);
void vpstore_trace_abandon(void);
bool vpstore_trace_take(struct vpstore *vp, const char *text, size_t len);

/* pmsg.c */
void vpstore_pmsg_register(struct vpstore *vp);
void vpstore_pmsg_unregister(struct vpstore *vp);
int vpstore_pmsg_write_user(struct pstore_record *record,
			    const char __user *buf);

#endif /* _VPSTORE_H */
