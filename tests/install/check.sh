#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs into a folder of its own, builds example.c there as a user would (pkg-config; shared,
# static, and the header as C++), runs it, and looks for symbols outside the API.
# usage: check.sh BUILD_DIR EXAMPLE_C
set -eu
build=$1 example=$2
to=$(mktemp -d)
trap 'rm -rf "$to"' EXIT
DESTDIR=$to meson install -C "$build" --no-rebuild --quiet >/dev/null

pc=$(find "$to" -name segue.pc)
lib=$(dirname "$(find "$to" -name 'libsegue.a')")
export PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$to
flags="-std=c11 -Wall -Wextra -Werror"

# The sysroot must not be put before the paths of libcrypto and libsodium: only ours are asked for.
cc $flags "$example" $(pkg-config --cflags segue) -o "$to/shared" -L"$lib" -lsegue
LD_LIBRARY_PATH=$lib "$to/shared"
cc $flags "$example" $(pkg-config --cflags segue) -o "$to/static" "$lib/libsegue.a" -lcrypto -lsodium -pthread
"$to/static"
echo '#include <segue/segue.h>
int main() { return segue_strerror(SEGUE_OK) == nullptr; }' >"$to/header.cc"
if command -v c++ >/dev/null; then
    c++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags segue) "$to/header.cc"
fi

if nm -D --defined-only "$lib/libsegue.so" | grep -v ' segue_[a-z0-9_]*$'; then
    echo "libsegue.so shows symbols outside its API" >&2
    exit 1
fi
# Linked into somebody's module, the archive must not add symbols either.
echo '#include <segue/segue.h>
const char *mine(enum segue_status s); const char *mine(enum segue_status s) { return segue_strerror(s); }
extern __typeof__(segue_verify) *v; __typeof__(segue_verify) *v = segue_verify;
extern __typeof__(segue_mint) *m; __typeof__(segue_mint) *m = segue_mint;' >"$to/module.c"
cc -shared -fPIC -fvisibility=hidden $(pkg-config --cflags segue) "$to/module.c" "$lib/libsegue.a" \
    -lcrypto -lsodium -o "$to/module.so"
if nm -D --defined-only "$to/module.so" | grep ' sg_'; then
    echo "libsegue.a shows inner symbols" >&2
    exit 1
fi
echo "the installed library works"
