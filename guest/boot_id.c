// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: the boot id that user space knows.
 *
 * It stays the same when this module is loaded again, and journald calls it
 * _BOOT_ID. The kernel doesn't export it, so it is read as user space does.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/uuid.h>

#include "parts.h"

#define VPSTORE_BOOT_ID_FILE	"/proc/sys/kernel/random/boot_id"

/**
 * vpstore_boot_id_read - read the kernel's own boot id
 * @id:	where its VIRTIO_PSTORE_BOOT_ID_LEN bytes go
 *
 * Return: whether there is a /proc that has it.
 */
bool vpstore_boot_id_read(u8 *id)
{
	char text[UUID_STRING_LEN + 1] = "";
	ssize_t len = 0;
	struct file *file;
	loff_t pos = 0;
	uuid_t uuid;

	file = filp_open(VPSTORE_BOOT_ID_FILE, O_RDONLY, 0);
	if (!IS_ERR(file)) {
		len = kernel_read(file, text, UUID_STRING_LEN, &pos);
		filp_close(file, NULL);
	}
	if (len != UUID_STRING_LEN || uuid_parse(text, &uuid))
		return false;
	export_uuid(id, &uuid);
	return true;
}
