-- One shard: every row belongs to a bucket, and every key starts with realm and bucket.
CREATE SCHEMA segue;

CREATE TABLE segue.schema_version (
    version    integer     PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- ---- ownership and its fence (P7, rule 12) --------------------------------------------------

CREATE TABLE segue.bucket_owner (
    bucket integer PRIMARY KEY CHECK (bucket BETWEEN 0 AND 4095),
    owned  boolean NOT NULL
);

-- First statement of every writing transaction. Takes each bucket's shared advisory lock, in order, and reads the
-- ownership in a later statement: under READ COMMITTED that one has a snapshot taken after the locks were had, so it
-- sees a flip that committed while this waited.
CREATE FUNCTION segue.fence(buckets integer[]) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    b integer;
    missing integer;
BEGIN
    FOR b IN SELECT DISTINCT x FROM unnest(buckets) AS x ORDER BY x LOOP
        PERFORM pg_advisory_xact_lock_shared(1397048071, b);
    END LOOP;
    SELECT x INTO missing
      FROM unnest(buckets) AS x
      LEFT JOIN segue.bucket_owner AS o ON o.bucket = x AND o.owned
     WHERE o.bucket IS NULL
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'bucket % is not owned by this shard', missing USING ERRCODE = 'SG001';
    END IF;
END $$;

-- The mover's side: exclusive lock, then the flip. Held until commit.
CREATE FUNCTION segue.fence_exclusive(bucket integer) RETURNS void LANGUAGE sql VOLATILE AS $$
    SELECT pg_advisory_xact_lock(1397048071, bucket);
$$;

-- A writer that wants the bucket to itself for a moment: alone, then like any other.
CREATE FUNCTION segue.fence_alone(bucket integer) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM segue.fence_exclusive(bucket);
    PERFORM segue.fence(ARRAY[bucket]);
END $$;

-- ---- time, by this database's clock ---------------------------------------------------------

-- When a session's life ends: the later of the source's word and Segue's own extension, never past the absolute limit
-- (rule 11). NULL = nothing is known that ends it.
CREATE FUNCTION segue.life_end(source timestamptz, extended timestamptz, absolute timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$ SELECT least(greatest(source, extended), absolute) $$;

CREATE FUNCTION segue.ms_until(at timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE AS $$ SELECT (extract(epoch FROM at - clock_timestamp()) * 1000)::bigint $$;

CREATE FUNCTION segue.unix_ms(at timestamptz) RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT (extract(epoch FROM at) * 1000)::bigint $$;

CREATE FUNCTION segue.unix_us(at timestamptz) RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT (extract(epoch FROM at) * 1000000)::bigint $$;

CREATE FUNCTION segue.in_ms(ms bigint) RETURNS timestamptz
LANGUAGE sql VOLATILE AS $$ SELECT clock_timestamp() + ms * interval '1 millisecond' $$;

-- ---- identities -----------------------------------------------------------------------------

CREATE TABLE segue.subject (
    realm          text        NOT NULL,
    bucket         integer     NOT NULL,              -- of (realm, subject)
    subject        text        NOT NULL,
    status         text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'banned')),
    epoch          integer     NOT NULL DEFAULT 0,    -- claim sv; raised to void what was minted before
    roles          text[]      NOT NULL DEFAULT '{}',
    permissions    text[]      NOT NULL DEFAULT '{}',
    attributes     jsonb       NOT NULL DEFAULT '{}', -- an object: what custom claims are made of
    source_version bigint      NOT NULL DEFAULT -1,   -- claim rv; -1 = never read from the source
    locked         boolean     NOT NULL DEFAULT false, -- by `segue subject ban`: banned whatever the source says
    logout_at      timestamptz,                       -- last "log out everywhere"
    updated_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (realm, bucket, subject)
);

-- Password hashes as migrated, for POST /v1/login. In the bucket of the login's digest: a login does not say whose it is.
CREATE TABLE segue.credential (
    realm      text        NOT NULL,
    bucket     integer     NOT NULL,
    login      bytea       NOT NULL CHECK (octet_length(login) = 32), -- digest of the login name
    subject    text        NOT NULL,
    hash       bytea       NOT NULL,                  -- sealed, bound to login and subject
    decoy      text        NOT NULL,                  -- its form and cost; salt and digest blotted out
    version    bigint      NOT NULL DEFAULT 0,        -- of the source; an older one changes nothing
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (realm, bucket, login)
);

-- ---- sessions -------------------------------------------------------------------------------

-- One login of a subject. In the bucket of its subject; an anonymous one in that of its store key's digest.
CREATE TABLE segue.session (
    realm         text        NOT NULL,
    bucket        integer     NOT NULL,
    sid           bytea       NOT NULL CHECK (octet_length(sid) = 16),
    subject       text,                                -- NULL = anonymous: kept, counted, never minted
    generation    integer     NOT NULL DEFAULT 0,
    origin        text        NOT NULL CHECK (origin IN ('legacy', 'segue')),
    client_id     text        NOT NULL DEFAULT '',
    store_digest  bytea,                               -- of its key in the legacy store; NULL = it has none
    handle        bytea,                               -- sealed: that key
    record        bytea,                               -- sealed: the record's value, to re-create it (rule 7)
    idle_ms       bigint      NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    exp_source    timestamptz,                         -- end of life as the source last said
    exp_segue     timestamptz,                         -- as Segue extended it; combined on reading (rule 11)
    exp_absolute  timestamptz,                         -- never beyond
    source_seen_at timestamptz,                        -- when the source was last known to hold it
    jwt_first_at  timestamptz,                         -- first JWT handed over; NULL = none yet
    jwt_until     timestamptz,                         -- expiry of the last JWT minted
    held_at       timestamptz,                         -- absent from the source without proof, since (rule 1)
    ended_at      timestamptz,
    end_reason    text,
    version       bigint      NOT NULL DEFAULT 1,
    PRIMARY KEY (realm, bucket, sid)
);
CREATE INDEX session_by_subject ON segue.session (realm, bucket, subject) WHERE ended_at IS NULL;

-- From a store key's digest to the session: written first, swept after. In the digest's bucket. The sid follows from
-- (digest, subject, generation). An ended row is a tombstone: nothing can be exchanged for it any more.
CREATE TABLE segue.token_ref (
    realm      text        NOT NULL,
    bucket     integer     NOT NULL,
    digest     bytea       NOT NULL CHECK (octet_length(digest) = 32),
    subject    text,
    generation integer     NOT NULL DEFAULT 0,
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at   timestamptz,
    end_reason text,
    PRIMARY KEY (realm, bucket, digest)
);

CREATE TABLE segue.refresh_token (
    realm            text        NOT NULL,
    bucket           integer     NOT NULL,             -- of its session; the token carries it
    digest           bytea       NOT NULL CHECK (octet_length(digest) = 32),
    sid              bytea       NOT NULL,
    chain            bytea       NOT NULL,             -- the refresh tokens of one exchange
    client_id        text        NOT NULL,
    audience         text        NOT NULL,             -- one or several, a space between
    scope            text        NOT NULL,             -- what the exchange was granted: a refresh may ask for less
    state            text        NOT NULL DEFAULT 'current' CHECK (state IN ('current', 'used', 'ended')),
    successor_digest bytea,
    successor_sealed bytea,                            -- under a key derived from this token itself
    grace_uses       integer     NOT NULL DEFAULT 0,
    issued_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    used_at          timestamptz,
    expires_at       timestamptz NOT NULL,
    PRIMARY KEY (realm, bucket, digest)
);
CREATE INDEX refresh_token_chain ON segue.refresh_token (realm, bucket, sid, chain);

-- One use of a refresh token (rule 10), after the fence. The session's row is locked first, as ending a session does, so
-- that no successor is born to an ended one and any number of concurrent uses agree on one successor. With an empty
-- p_sealed it only says what a use would come to now, and locks nothing where that is no retry; that too ends the chain
-- of a reused token.
CREATE FUNCTION segue.rotate(
    p_realm text, p_bucket integer, p_digest bytea, p_client text, p_next bytea, p_sealed bytea,
    p_grace_ms bigint, p_lifetime_ms bigint,
    OUT outcome text, OUT sid bytea, OUT audience text, OUT scope text, OUT sealed bytea, OUT successor bytea)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    t  segue.refresh_token;
    s  segue.session;
    at timestamptz;
BEGIN
    outcome := 'unknown';
    SELECT x.* INTO t FROM segue.refresh_token AS x
     WHERE x.realm = p_realm AND x.bucket = p_bucket AND x.digest = p_digest;
    IF NOT FOUND OR t.client_id <> p_client THEN
        RETURN;
    END IF;
    IF octet_length(p_sealed) = 0 AND t.state <> 'used' THEN
        SELECT x.* INTO s FROM segue.session AS x
         WHERE x.realm = p_realm AND x.bucket = p_bucket AND x.sid = t.sid;
    ELSE
        SELECT x.* INTO s FROM segue.session AS x
         WHERE x.realm = p_realm AND x.bucket = p_bucket AND x.sid = t.sid
           FOR NO KEY UPDATE;
        SELECT x.* INTO t FROM segue.refresh_token AS x
         WHERE x.realm = p_realm AND x.bucket = p_bucket AND x.digest = p_digest
           FOR UPDATE;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    at := clock_timestamp();
    sid := t.sid;
    audience := t.audience;
    scope := t.scope;
    IF t.expires_at <= at THEN
        outcome := 'expired';
    ELSIF t.state = 'ended' OR s.sid IS NULL OR s.ended_at IS NOT NULL OR s.exp_absolute <= at THEN
        outcome := 'ended';
    ELSIF t.state = 'used' AND (at - t.used_at > p_grace_ms * interval '1 millisecond' OR t.grace_uses >= 1000) THEN
        outcome := 'reused';
        UPDATE segue.refresh_token AS x SET state = 'ended'
         WHERE x.realm = p_realm AND x.bucket = p_bucket AND x.sid = t.sid AND x.chain = t.chain AND x.state <> 'ended';
    ELSIF segue.life_end(s.exp_source, s.exp_segue, s.exp_absolute) <= at THEN
        outcome := 'lapsed';
    ELSIF octet_length(p_sealed) = 0 THEN
        outcome := CASE t.state WHEN 'used' THEN 'grace' ELSE 'rotated' END;
    ELSIF t.state = 'used' THEN
        outcome := 'grace';
        sealed := t.successor_sealed;
        successor := t.successor_digest;
        UPDATE segue.refresh_token AS x SET grace_uses = x.grace_uses + 1
         WHERE x.realm = p_realm AND x.bucket = p_bucket AND x.digest = p_digest;
    ELSE
        outcome := 'rotated';
        sealed := p_sealed;
        successor := p_next;
        INSERT INTO segue.refresh_token (realm, bucket, digest, sid, chain, client_id, audience, scope, expires_at)
        VALUES (p_realm, p_bucket, p_next, t.sid, t.chain, t.client_id, t.audience, t.scope,
                least(at + p_lifetime_ms * interval '1 millisecond', s.exp_absolute));
        UPDATE segue.refresh_token AS x
           SET state = 'used', used_at = at, successor_digest = p_next, successor_sealed = p_sealed
         WHERE x.realm = p_realm AND x.bucket = p_bucket AND x.digest = p_digest;
    END IF;
END $$;

-- Uses of several tokens in one transaction: one fence and one flush to disk for all. Their sessions are locked in the
-- order of every other batch. What is refused is an outcome like any other; a lock that is not had soon fails the whole,
-- and the caller then uses each by itself.
CREATE FUNCTION segue.rotate_all(
    p_realms text[], p_buckets integer[], p_digests bytea[], p_clients text[], p_nexts bytea[], p_sealeds bytea[],
    p_graces_ms bigint[], p_lifetimes_ms bigint[])
RETURNS TABLE (ord bigint, outcome text, sid bytea, audience text, scope text, sealed bytea, successor bytea)
LANGUAGE plpgsql VOLATILE SET lock_timeout = '50ms' AS $$
DECLARE
    q record;
BEGIN
    FOR q IN
        SELECT u.*
          FROM unnest(p_realms, p_buckets, p_digests, p_clients, p_nexts, p_sealeds, p_graces_ms, p_lifetimes_ms)
               WITH ORDINALITY AS u(realm, bucket, digest, client, next, sealed, grace_ms, lifetime_ms, ord)
          LEFT JOIN segue.refresh_token AS x
            ON x.realm = u.realm AND x.bucket = u.bucket AND x.digest = u.digest
         ORDER BY u.realm COLLATE "C", u.bucket, x.sid, u.digest, u.ord
    LOOP
        RETURN QUERY SELECT q.ord, r.* FROM segue.rotate(
            q.realm, q.bucket, q.digest, q.client, q.next, q.sealed, q.grace_ms, q.lifetime_ms) AS r;
    END LOOP;
END $$;

-- ---- the feed (rule 9) ----------------------------------------------------------------------

-- Sequence order is not commit order: a reader's cursor is the snapshot of its last poll, and it asks for the rows whose
-- transaction that snapshot did not see. So a row that a long transaction commits late is not missed, and what commits
-- meanwhile is neither held up nor read again.
CREATE TABLE segue.revocation (
    realm         text        NOT NULL,
    bucket        integer     NOT NULL,
    seq           bigint      GENERATED ALWAYS AS IDENTITY,
    xid           xid8        NOT NULL DEFAULT pg_current_xact_id(),
    kind          text        NOT NULL CHECK (kind IN ('session', 'subject')),
    sid           bytea,                               -- kind session: this session has ended
    subject       text,                                -- kind subject: status, epoch and roles are now these
    status        text,
    epoch         integer,
    source_version bigint,
    roles         text[],
    permissions   text[],
    attributes    jsonb,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (realm, bucket, seq)
);
CREATE INDEX revocation_xid ON segue.revocation (xid);
CREATE INDEX revocation_at ON segue.revocation (at);

CREATE FUNCTION segue.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Not for a statement that added nothing: commits that notify queue up behind each other.
    IF EXISTS (SELECT FROM added) THEN
        PERFORM pg_notify('segue_feed', '');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER revocation_tell AFTER INSERT ON segue.revocation
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION segue.tell();

-- The heartbeat of rule 8 after its way through the legacy store and the capture.
CREATE TABLE segue.heartbeat (
    realm   text        PRIMARY KEY,
    beat    bigint      NOT NULL,
    sent_at timestamptz NOT NULL,                      -- by the sender's clock
    at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- ---- the mirror and the transfer ------------------------------------------------------------

-- Which sessions differ from the legacy store. The drainer writes their current state and deletes the row if the
-- version is still the one it wrote.
CREATE TABLE segue.outbox (
    realm    text        NOT NULL,
    bucket   integer     NOT NULL,
    sid      bytea       NOT NULL,
    version  bigint      NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(), -- since when it differs
    PRIMARY KEY (realm, bucket, sid)
);

CREATE TABLE segue.reject (
    realm       text        NOT NULL,
    bucket      integer     NOT NULL,                  -- of the key's digest
    key_digest  bytea       NOT NULL,
    key_sealed  bytea       NOT NULL,
    reason      text        NOT NULL,
    place       text        NOT NULL,
    value_sealed bytea,
    job         bigint      NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    resolved_at timestamptz,
    PRIMARY KEY (realm, bucket, key_digest)
);

-- What each chunk of a job brought, counted on the shard of each record's key digest, whatever subject it turned out to
-- have. Written with the chunk's rejects after its sessions were committed (P5), and to every shard, so that a chunk done
-- again replaces all of its counts.
CREATE TABLE segue.transfer_ledger (
    realm     text        NOT NULL,
    job       bigint      NOT NULL,
    chunk     bigint      NOT NULL,
    stored    integer     NOT NULL,                    -- sessions, anonymous ones included
    rejected  integer     NOT NULL,
    anonymous integer     NOT NULL,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (realm, job, chunk)
);

INSERT INTO segue.schema_version (version) VALUES (1);
