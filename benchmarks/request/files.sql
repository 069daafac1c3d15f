-- files that belong to a user; the names of the tables differ between the versions of CKAN
WITH made AS (
    INSERT INTO {file} (id, name, location, storage, content_type, size, hash, algorithm, created,
                        storage_data, plugin_data)
    SELECT id, 'file.txt', id, 'benchmarks', 'text/plain', 0, '', '', now(),
           jsonb_build_object(), jsonb_build_object()
    FROM (SELECT gen_random_uuid()::text AS id FROM generate_series(1, :count)) AS new
    RETURNING id
)
INSERT INTO {owner} (file_id, owner_type, owner_id, pinned)
SELECT id, 'user', :user_id, false FROM made RETURNING file_id
