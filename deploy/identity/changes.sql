-- identity.changes: subjects changed since a cursor, at most 1,000 of them. $1 = cursor, '' at first.
--
-- Nothing may be skipped. Two things could make it so:
--   * transactions commit in another order than they began. So a sweep starts at the oldest transaction that was still
--     running when the sweep before it started (xmin of the snapshot), and rows come more than once;
--   * one transaction may change more rows than a page holds, and a long one may hold xmin back for long. So within a sweep
--     pages go on by (changed, id), and only a page that is not full ends the sweep.
-- Cursor: 'floor' between sweeps; 'floor of the next sweep:changed:id' within one. The row at the cursor is given again, so
-- that a page is never empty and the sweep always comes to its end.
WITH page AS (
    SELECT id, active, roles, permissions, version, changed
      FROM users
     WHERE changed >= coalesce(nullif(split_part($1, ':', CASE WHEN $1 LIKE '%:%' THEN 2 ELSE 1 END), ''), '0')::xid8
       AND (split_part($1, ':', 2) = ''
            OR changed > split_part($1, ':', 2)::xid8
            OR id >= split_part($1, ':', 3)::bigint)
     ORDER BY changed, id
     LIMIT 1000
)
SELECT id::text, active, roles, permissions, version,
       CASE WHEN $1 LIKE '%:%' THEN split_part($1, ':', 1)
            ELSE pg_snapshot_xmin(pg_current_snapshot())::text END
       || CASE WHEN count(*) OVER () < 1000 THEN ''
               ELSE ':' || last_value(changed) OVER whole || ':' || last_value(id) OVER whole END AS cursor
  FROM page
WINDOW whole AS (ORDER BY changed, id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
 ORDER BY changed, id
