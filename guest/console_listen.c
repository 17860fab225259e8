// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: how it learns of messages.
 *
 * Every message passes the tracepoint "console", in whatever context it is
 * printed and whatever console_loglevel is, just before it is in the log. A
 * probe stands there.
 *
 * Where a probe would do harm (VPSTORE_TRACEPOINT) or there are no tracepoints,
 * two others take its place:
 *
 *   a registered console	is called by printk for what console_loglevel
 *				lets through. A panic lets everything through
 *   a reader of /dev/kmsg	is woken for every message, by an interrupt that
 *				comes with the next tick
 */
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/string.h>

#include "compat.h"
#include "console.h"

#ifdef VPSTORE_TRACEPOINT

static void vpstore_listen_probe(void *data, const char *text, size_t len)
{
	struct vpstore_console *c = data;

	if (READ_ONCE(c->flushed))
		vpstore_panic_console_message(c, text, len);
	else
		vpstore_console_message(c, len);
}

/**
 * vpstore_listen_start - learn of messages, if there is a console
 * @vp:	device
 */
void vpstore_listen_start(struct vpstore *vp)
{
	if (!vp->console)
		return;

	if (!vpstore_probe_printk(vpstore_listen_probe, vp->console))
		vp->console->listener.probed = true;
	else
		dev_warn(&vp->vdev->dev, "can't listen to printk: no console\n");
}

/**
 * vpstore_listen_stop - undo vpstore_listen_start()
 * @vp:	device
 */
void vpstore_listen_stop(struct vpstore *vp)
{
	if (!vp->console || !vp->console->listener.probed)
		return;

	vpstore_unprobe_printk(vpstore_listen_probe, vp->console);
	tracepoint_synchronize_unregister();
}

#else

static void vpstore_listen_write(struct console *con, const char *text,
				 unsigned int len)
{
	struct vpstore_console *c = con->data;

	/* The message is in the log, and kmsg_dump() has been. */
	if (READ_ONCE(c->flushed))
		vpstore_panic_console_flush(c);
	else
		vpstore_console_message(c, len);
}

static int vpstore_listen_woken(wait_queue_entry_t *reader, unsigned int mode,
				int sync, void *key)
{
	vpstore_console_look(container_of(reader, struct vpstore_console,
					  listener.reader));
	return 0;
}

static void vpstore_listen_wait(struct file *file, wait_queue_head_t *waiting,
				poll_table *poll)
{
	struct vpstore_listener *l = container_of(poll, struct vpstore_listener,
						  poll);

	l->waiting = waiting;
	add_wait_queue(waiting, &l->reader);
}

/*
 * Where readers of the log wait isn't exported, but who polls the file is told.
 * devtmpfs has it, also before anything is mounted.
 */
static bool vpstore_listen_kmsg(struct vpstore_listener *l)
{
	struct file_system_type *devtmpfs;

	/* Else the kernel would look for a module of it. */
	if (!IS_ENABLED(CONFIG_DEVTMPFS))
		return false;
	devtmpfs = get_fs_type("devtmpfs");
	if (!devtmpfs)
		return false;
	l->devices = kern_mount(devtmpfs);
	if (IS_ERR(l->devices))
		return false;
	l->kmsg = file_open_root_mnt(l->devices, "kmsg", O_RDONLY, 0);
	if (IS_ERR(l->kmsg)) {
		kern_unmount(l->devices);
		return false;
	}

	init_waitqueue_func_entry(&l->reader, vpstore_listen_woken);
	init_poll_funcptr(&l->poll, vpstore_listen_wait);
	vfs_poll(l->kmsg, &l->poll);
	return true;
}

/**
 * vpstore_listen_start - learn of messages, if there is a console
 * @vp:	device
 */
void vpstore_listen_start(struct vpstore *vp)
{
	struct vpstore_listener *l;

	if (!vp->console)
		return;

	l = &vp->console->listener;
	strscpy(l->con.name, "vpstore", sizeof(l->con.name));
	l->con.write = vpstore_listen_write;
	l->con.flags = CON_ENABLED;
	l->con.index = -1;
	l->con.data = vp->console;
	register_console(&l->con);

	if (!vpstore_listen_kmsg(l)) {
		l->kmsg = NULL;
		dev_warn(&vp->vdev->dev,
			 "can't read /dev/kmsg: messages that console_loglevel holds back come with the next one that it doesn't\n");
	}
}

/**
 * vpstore_listen_stop - undo vpstore_listen_start()
 * @vp:	device
 */
void vpstore_listen_stop(struct vpstore *vp)
{
	struct vpstore_listener *l;

	if (!vp->console)
		return;

	l = &vp->console->listener;
	if (l->waiting)
		remove_wait_queue(l->waiting, &l->reader);
	if (l->kmsg) {
		fput(l->kmsg);
		kern_unmount(l->devices);
	}
	unregister_console(&l->con);
}
#endif
