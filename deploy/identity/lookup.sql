-- identity.lookup: one subject. $1 = its id as the legacy session holds it.
SELECT id::text, active, roles, permissions, version
  FROM users
 WHERE id = $1::bigint
