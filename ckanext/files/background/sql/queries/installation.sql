-- The installation of the schema.

-- name: lock_installation
SELECT pg_advisory_xact_lock(:key)

-- name: is_installed
SELECT to_regclass('files_version') IS NOT NULL

-- name: installed_version
-- All columns: an older table has fewer.
SELECT * FROM files_version

-- name: forget_version
DELETE FROM files_version

-- name: set_version
INSERT INTO files_version (procrastinate, own) VALUES (:procrastinate, :own)

-- name: all_functions
SELECT p.oid::regprocedure::text AS function, p.proname LIKE 'files\_%' AS own
FROM pg_proc p WHERE p.pronamespace = CAST(:schema AS regnamespace)
