#!/bin/sh
# Puts together what an image needs beside its base: the program, who vouches for certificates, and a folder for temporary files.
#
#   rootfs.sh PROGRAM CA_BUNDLE FOLDER
set -eu

[ "$#" -eq 3 ] || { echo "usage: rootfs.sh PROGRAM CA_BUNDLE FOLDER" >&2; exit 2; }
program=$1 bundle=$2 folder=$3

[ -f "$program" ] || { echo "rootfs.sh: there is no program $program" >&2; exit 1; }
[ -s "$bundle" ] || { echo "rootfs.sh: $bundle holds no certificates (Debian: apt-get install ca-certificates)" >&2; exit 1; }
# An image from scratch has no loader: a program that asks for one says nothing but `no such file or directory` there.
if command -v ldd >/dev/null && ldd "$program" 2>/dev/null | grep -q '=>'; then
    echo "rootfs.sh: $program is not static; build it with RUSTFLAGS='-C target-feature=+crt-static' and a --target" >&2
    exit 1
fi

rm -rf -- "$folder"
mkdir -p -- "$folder/usr/local/bin" "$folder/etc/ssl/certs" "$folder/tmp" "$folder/app"
chmod 1777 "$folder/tmp"
cp -- "$program" "$folder/usr/local/bin/skipper"
chmod 755 "$folder/usr/local/bin/skipper"
if command -v strip >/dev/null; then strip "$folder/usr/local/bin/skipper"; fi
cp -- "$bundle" "$folder/etc/ssl/certs/ca-certificates.crt"
chmod 644 "$folder/etc/ssl/certs/ca-certificates.crt"
