#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs into a folder of its own, builds the examples there as a user would (pkg-config; shared, static, and the
# header as C++), runs them, and looks at the symbols: those of the API, versioned, and no others.
# usage: check.sh BUILD_DIR EXAMPLES_DIR
set -eu
build=$1 examples=$2
to=$(mktemp -d)
trap 'rm -rf "$to"' EXIT
DESTDIR=$to meson install -C "$build" --no-rebuild --quiet >/dev/null

fail() {
    echo "install: $*" >&2
    exit 1
}

pc=$(find "$to" -name segue.pc)
lib=$(dirname "$(find "$to" -name 'libsegue.a')")
header=$(find "$to" -name segue.h)
export PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$to LD_LIBRARY_PATH=$lib
flags="-std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror"

# ---- the examples ----

mkdir "$to/shared" "$to/static"
for source in "$examples"/*.c; do
    name=$(basename "$source" .c)
    # The sysroot must not be put before the paths of libcrypto and libsodium: only ours are asked for.
    cc $flags "$source" $(pkg-config --cflags segue) -o "$to/shared/$name" -L"$lib" -lsegue -pthread
    cc $flags "$source" $(pkg-config --cflags segue) -o "$to/static/$name" "$lib/libsegue.a" -lcrypto -lsodium -pthread
done
issuer=https://id.example api=https://api.example
for kind in shared static; do
    bin=$to/$kind
    for subject in u-1 u-2; do "$bin/mint" "$to/key.jwk" "$to/jwks.json" $issuer $api $subject >>"$to/tokens.$kind"; done
    head -n 1 "$to/tokens.$kind" >"$to/token"
    "$bin/verify" "$to/jwks.json" $issuer $api <"$to/token" >"$to/out" || fail "verify ($kind) refused what mint made"
    grep -qx 'sub: u-1' "$to/out" && grep -qx 'roles: editor reviewer' "$to/out" || fail "verify ($kind) did not print the claims"
    ! "$bin/verify" "$to/jwks.json" $issuer https://other.example <"$to/token" >"$to/out" || fail "verify ($kind) took a foreign audience"
    grep -q '^wrong_audience' "$to/out" || fail "verify ($kind) gave another reason: $(cat "$to/out")"
    "$bin/threads" "$to/jwks.json" $issuer $api <"$to/tokens.$kind" >"$to/out" || fail "threads ($kind) refused what mint made"
    grep -qx '8000 good, 0 refused; 7992 answered by the caches, 8 by the signature' "$to/out" || fail "threads ($kind): $(cat "$to/out")"
done
[ "$(stat -c %a "$to/key.jwk")" = 600 ] || fail "the private key may be read by others"
! grep -q '"d"' "$to/jwks.json" || fail "the JWKS has a private member"

echo '#include <segue/segue.h>
int main() { return segue_strerror(SEGUE_OK) == nullptr; }' >"$to/header.cc"
if command -v c++ >/dev/null; then
    c++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags segue) "$to/header.cc"
fi

# ---- the symbols ----

readelf -d "$lib/libsegue.so" | grep -q 'SONAME.*\[libsegue\.so\.0\]' || fail "the soname is not libsegue.so.0"
grep -oE '\bsegue_[a-z0-9_]+\(' "$header" | tr -d '(' | sort -u | sed 's/$/@@SEGUE_0_1/' >"$to/want"
nm -D --defined-only --with-symbol-versions "$lib/libsegue.so" | awk '$2 != "A" { print $3 }' | sort >"$to/got"
diff "$to/want" "$to/got" || fail "what the header declares (<) is not what libsegue.so shows (>)"
# Linked into somebody's module, the archive must not add symbols either.
echo '#include <segue/segue.h>
const char *mine(enum segue_status s); const char *mine(enum segue_status s) { return segue_strerror(s); }
extern __typeof__(segue_cache_verify) *v; __typeof__(segue_cache_verify) *v = segue_cache_verify;
extern __typeof__(segue_mint) *m; __typeof__(segue_mint) *m = segue_mint;' >"$to/module.c"
cc -shared -fPIC -fvisibility=hidden $(pkg-config --cflags segue) "$to/module.c" "$lib/libsegue.a" \
    -lcrypto -lsodium -o "$to/module.so"
! nm -D --defined-only "$to/module.so" | grep ' sg_' || fail "libsegue.a shows inner symbols"
echo "the installed library works"
