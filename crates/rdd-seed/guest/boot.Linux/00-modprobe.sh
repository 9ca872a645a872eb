#!/bin/sh
# Modules that mounts and containers want; a kernel may have them built in, or not at all.
command -v modprobe >/dev/null 2>&1 || exit 0
case $LIMA_CIDATA_MOUNTTYPE in
  9p) mounts='9pnet_virtio 9p' ;;
  virtiofs) mounts=virtiofs ;;
  *) mounts= ;;
esac
# shellcheck disable=SC2086 # A list of words.
modprobe -q -a fuse tun overlay bridge veth ip_tables ip6_tables iptable_nat nf_tables x_tables $mounts 2>/dev/null
exit 0
