# SPDX-License-Identifier: MIT
# Makes password.json once more, other salts apart: hashes by the implementations that real systems use.
#   apt-get install python3-django python3-passlib python3-argon2 python3-bcrypt python3-werkzeug
#   npm install argon2 bcrypt bcryptjs        (in a folder given as the first argument)
#   /usr/bin/python3 tests/vectors/password.py FOLDER >tests/vectors/password.json
import base64, crypt, hashlib, json, os, subprocess, sys, warnings

warnings.simplefilter("ignore")
import argon2, bcrypt, passlib.hash as ph, werkzeug.security
from django.conf import settings

settings.configure(PASSWORD_HASHERS=["django.contrib.auth.hashers." + n for n in (
    "PBKDF2PasswordHasher", "PBKDF2SHA1PasswordHasher", "Argon2PasswordHasher", "BCryptPasswordHasher", "BCryptSHA256PasswordHasher")])
from django.contrib.auth import hashers

P, U = "correct horse", "Grüße €42 🐎"
LONG = "x" * 100
out = []


def add(source, password, text):
    out.append({"from": source, "password": password, "hash": text})


for p in (P, U, LONG):
    add("python bcrypt", p, bcrypt.hashpw(p.encode()[:72], bcrypt.gensalt(4)).decode())
    add("python bcrypt 2a", p, bcrypt.hashpw(p.encode()[:72], bcrypt.gensalt(4, b"2a")).decode())
    add("libxcrypt $5$", p, crypt.crypt(p, crypt.mksalt(crypt.METHOD_SHA256, rounds=1000)))
    add("libxcrypt $6$", p, crypt.crypt(p, crypt.mksalt(crypt.METHOD_SHA512, rounds=1000)))
    add("argon2-cffi", p, argon2.PasswordHasher(time_cost=2, memory_cost=512, parallelism=2).hash(p))
    add("passlib pbkdf2_sha256", p, ph.pbkdf2_sha256.using(rounds=500).hash(p))
    add("passlib pbkdf2_sha512", p, ph.pbkdf2_sha512.using(rounds=500).hash(p))
    add("passlib pbkdf2_sha1", p, ph.pbkdf2_sha1.using(rounds=500).hash(p))
    add("passlib scrypt", p, ph.scrypt.using(rounds=6, block_size=8, parallelism=2).hash(p))
    salt = base64.b32encode(os.urandom(10)).decode()
    # Django 4's ScryptPasswordHasher, which Debian 12's Django is too old for: the same call, the same text
    add("Django 4 scrypt (by hashlib)", p, "scrypt$%d$%s$%d$%d$%s" % (
        128, salt, 8, 1, base64.b64encode(hashlib.scrypt(p.encode(), salt=salt.encode(), n=128, r=8, p=1, maxmem=0, dklen=64)).decode()))
    # Werkzeug 3's default, likewise
    add("Werkzeug 3 scrypt (by hashlib)", p, "scrypt:128:8:1$%s$%s" % (
        salt, hashlib.scrypt(p.encode(), salt=salt.encode(), n=128, r=8, p=1, maxmem=0, dklen=64).hex()))
    add("Werkzeug pbkdf2", p, werkzeug.security.generate_password_hash(p, "pbkdf2:sha256:500", 16))
    add("Django PBKDF2", p, hashers.PBKDF2PasswordHasher().encode(p, "saltsalt", 500))
    add("Django PBKDF2-SHA1", p, hashers.PBKDF2SHA1PasswordHasher().encode(p, "saltsalt", 500))
    django = hashers.Argon2PasswordHasher()
    django.time_cost, django.memory_cost, django.parallelism = 2, 1024, 8
    add("Django Argon2", p, django.encode(p, "saltsaltsalt"))
    for name in ("BCryptPasswordHasher", "BCryptSHA256PasswordHasher"):
        h = getattr(hashers, name)()
        add("Django " + name, p, h.encode(p if h.digest else p.encode()[:72].decode(errors="ignore"), bcrypt.gensalt(4)))
for p in (P, U):
    add("libxcrypt default rounds $5$", p, crypt.crypt(p, "$5$saltstring"))
    add("libxcrypt default rounds $6$", p, crypt.crypt(p, "$6$saltstring"))
    add("libxcrypt $7$", p, crypt.crypt(p, "$7$4/..../..../saltsalt"))
    add("libxcrypt $y$", p, crypt.crypt(p, "$y$j75$jHpnF7eXUJlLpDtDVTFFu."))
    add("libxcrypt $y$ with p and t", p, crypt.crypt(p, "$y$j750..$jHpnF7eXUJlLpDtDVTFFu."))
    script = """const a = require('argon2'), b = require('bcrypt'), j = require('bcryptjs');
      const p = process.argv[1], o = { memoryCost: 512, timeCost: 2, parallelism: 2 };
      (async () => console.log(JSON.stringify([['npm argon2id', await a.hash(p, { ...o, type: a.argon2id })],
        ['npm argon2i', await a.hash(p, { ...o, type: a.argon2i })], ['npm bcrypt', await b.hash(p, 4)], ['npm bcryptjs', await j.hash(p, 4)]])))()"""
    for source, text in json.loads(subprocess.check_output(["node", "-e", script, p], cwd=sys.argv[1])):
        add(source, p, text)
php = "$2y$04$" + bcrypt.hashpw(P.encode(), bcrypt.gensalt(4)).decode()[7:]
add("PHP's prefix for bcrypt", P, php)
json.dump(out, sys.stdout, indent=1, ensure_ascii=False)
print()
