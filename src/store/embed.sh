#!/bin/sh
# embed.sh OUT NAME FILE...: writes the files as C: one array of slices NAME_migrations, and its length.
set -eu
out=$1 name=$2
shift 2
{
    echo '/* Generated from sql/ by embed.sh. */'
    echo '#include "store/schema.h"'
    i=0
    for file; do
        printf 'static const char %s_%d[] = {' "$name" "$i"
        od -An -v -tu1 "$file" | awk '{ for (i = 1; i <= NF; i++) printf "%s,", $i; print "" }'
        echo '0};'
        i=$((i + 1))
    done
    echo "static const struct sg_slice ${name}_migrations[] = {"
    i=0
    for file; do
        printf '{%s_%d, sizeof %s_%d - 1},\n' "$name" "$i" "$name" "$i"
        i=$((i + 1))
    done
    echo '};'
    printf 'const struct sg_schema sg_schema_%s = {"%s", "%s", %s_migrations, %d};\n' \
        "$name" "$name" "$([ "$name" = control ] && echo segue_control || echo segue).schema_version" "$name" "$#"
} >"$out"
