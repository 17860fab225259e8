// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: devices that offer less than they have, or less than
 * they say.
 *
 * A VMM that passes a device on may keep feature bits from the guest, and give
 * its config space another length. The devices of 2016 have no feature bits.
 */
#include <linux/kernel.h>
#include <linux/pci.h>
#include <linux/virtio_pci.h>

#include "parts.h"

/* No version of the protocol uses these bits of the config's flags. */
#define VPSTORE_CONFIG_FL_NEVER	0xffff0000

/**
 * vpstore_config_len - how far config space may be read
 * @vdev:	virtio device
 *
 * virtio_pci_modern BUG()s on a read beyond its end, and behind a legacy
 * device's ports are another's; neither end is to be had from the virtio core.
 * Other transports take any read, and answer it with whatever they have.
 *
 * Return: bytes.
 */
u32 vpstore_config_len(struct virtio_device *vdev)
{
	struct pci_dev *pdev;
	u32 len;
	u8 type;
	int pos;

	if (!vdev->config->get)
		return 0;
	if (!dev_is_pci(vdev->dev.parent))
		return sizeof(struct virtio_pstore_config);

	pdev = to_pci_dev(vdev->dev.parent);
	if (!virtio_has_feature(vdev, VIRTIO_F_VERSION_1)) {
		len = pci_resource_len(pdev, 0);
		return len - min_t(u32, len, VIRTIO_PCI_CONFIG_OFF(true));
	}
	for (pos = pci_find_capability(pdev, PCI_CAP_ID_VNDR); pos;
	     pos = pci_find_next_capability(pdev, pos, PCI_CAP_ID_VNDR)) {
		pci_read_config_byte(pdev, pos + VIRTIO_PCI_CAP_CFG_TYPE,
				     &type);
		if (type != VIRTIO_PCI_CAP_DEVICE_CFG)
			continue;
		pci_read_config_dword(pdev, pos + VIRTIO_PCI_CAP_LENGTH, &len);
		return len;
	}
	return 0;
}

/**
 * vpstore_quirks - find what the feature bits don't say
 * @vp:	device whose extended, panic_vq and types are what they say
 */
void vpstore_quirks(struct vpstore *vp)
{
	const unsigned int offset = vpstore_config_offset(magic);
	u64 magic;
	u32 flags;

	if (vp->extended)
		return;

	/*
	 * What isn't a config reads as zeros or ones, or as whatever lies
	 * there, but not as this number.
	 */
	magic = vpstore_config_read(vp->vdev, offset + sizeof(u32));
	magic = magic << 32 | vpstore_config_read(vp->vdev, offset);
	if (magic == VIRTIO_PSTORE_CONFIG_MAGIC) {
		vp->extended = true;
		vp->panic_vq = true;
		return;
	}

	/*
	 * The first devices of 2016 have a config of four bytes, without flags,
	 * and nothing says so. What is read behind it is all ones in QEMU, and
	 * whatever lies there in kvmtool: take it for flags only if it can be.
	 * Should it be neither, the price is text of a type that such a device
	 * doesn't know.
	 */
	flags = vpstore_config_read(vp->vdev, vpstore_config_offset(flags));
	if (!(flags & VPSTORE_CONFIG_FL_NEVER) &&
	    (flags & VIRTIO_PSTORE_CONFIG_FL_CONSOLE))
		vp->types |= BIT(VIRTIO_PSTORE_TYPE_CONSOLE);
}
