#!/bin/sh
# In the machine that is being made: the kernel without its boot loader and without the modules that nothing here needs.
set -eu
cd /tmp
apt-get -qq update
package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
apt-get -qq download "$package"
dpkg-deb -x linux-image-*.deb kernel
cp kernel/boot/vmlinuz-* /boot/vmlinuz
release=$(ls kernel/usr/lib/modules)
from=/tmp/kernel/usr/lib/modules/$release to=/lib/modules/$release
mkdir -p "$to/kernel/drivers/net"
cp "$from"/modules.* "$to/"
for part in fs net lib crypto arch drivers/block drivers/virtio drivers/net/veth.ko.xz; do
  cp -r "$from/kernel/$part" "$to/kernel/$part"
done
depmod "$release"
rm -rf kernel linux-image-*.deb /var/lib/apt/lists/* /var/cache/apt/*
# Emulated, it would take a minute at each start.
python3 -m compileall -q /opt/site /usr/lib/python3 >/dev/null || true
