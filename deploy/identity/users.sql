-- What Segue needs of an application's own user table: a version that grows with every change of a row, and the
-- transaction that made the change. Both are kept by a trigger, so no statement of the application has to know.
-- Rows are never deleted: an account that is closed stays with active = false, so that its sessions are seen to end.
CREATE TABLE IF NOT EXISTS users (
    id          bigint  PRIMARY KEY,
    name        text    NOT NULL UNIQUE,
    password    text    NOT NULL,
    active      boolean NOT NULL DEFAULT true,
    roles       text[]  NOT NULL DEFAULT '{}',
    permissions text[]  NOT NULL DEFAULT '{}',
    version     bigint  NOT NULL DEFAULT 1,
    changed     xid8    NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX IF NOT EXISTS users_changed ON users (changed, id);

CREATE OR REPLACE FUNCTION users_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    NEW.changed := pg_current_xact_id();
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER users_note_change BEFORE UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION users_note_change();
