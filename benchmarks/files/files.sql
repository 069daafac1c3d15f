-- A fifth of the files belongs to one user, a fifth to a group, a fifth to one dataset of an
-- organization, a fifth to other datasets of it, and the oldest fifth to datasets of another one.
-- Twenty files each belong to another user, dataset and organization, however many there are.
INSERT INTO package (id, name, title, type, state, metadata_created, metadata_modified, owner_org,
    private)
SELECT 'dataset-' || n, 'dataset-' || n, 'Dataset ' || n, 'dataset', 'active', now(), now(),
    CASE n % 2 WHEN 0 THEN :large_organization ELSE :old_organization END, n % 4 < 2
FROM generate_series(0, :count / 10) AS n
UNION ALL
SELECT name, name, 'Dataset', 'dataset', 'active', now(), now(), organization, true
FROM (VALUES
    ('large-dataset', :large_organization), ('small-dataset', :large_organization),
    ('only-dataset', :small_organization)
) AS one (name, organization);

INSERT INTO resource (id, url, name, package_id, state, position)
SELECT 'resource-' || n, 'https://example.org', 'Resource ' || n, 'dataset-' || n, 'active', 0
FROM generate_series(0, :count / 10) AS n;

CREATE TEMPORARY TABLE made AS
SELECT 'file-' || n AS id,
    (ARRAY['user', 'group', 'package', 'package', 'package'])[1 + n % 5] AS type,
    (ARRAY[:large_user, :group, 'large-dataset', 'dataset-' || (n / 10 / 2) * 2,
        'dataset-' || (n / 10 / 2) * 2 + 1])[1 + n % 5] AS owner,
    CASE n % 3 WHEN 0 THEN 'annual-report_' || n || '.pdf' WHEN 1 THEN 'levels.' || n || '.csv'
        ELSE 'data ' || n || '.zip' END AS name,
    n + CASE WHEN n % 5 = 4 THEN :count ELSE 0 END AS age,
    n % (:count / 25) = 0 AS is_rare
FROM generate_series(1, :count) AS n
UNION ALL
SELECT owner || '-file-' || n, type, owner, 'report ' || n || '.txt', n * :count / 20, false
FROM generate_series(1, 20) AS n CROSS JOIN (VALUES
    ('user', :small_user), ('package', 'small-dataset'), ('package', 'only-dataset')
) AS of_one (type, owner);

-- a half of what datasets own belongs to resources of theirs
UPDATE made SET type = 'resource', owner = replace(owner, 'dataset', 'resource')
WHERE owner LIKE 'dataset-%' AND age % 2 = 0;

INSERT INTO {files} (id, name, storage, location, content_type, size, hash, algorithm, created,
    storage_data, plugin_data)
SELECT id, CASE WHEN is_rare THEN 'a rare one.geojson' ELSE name END,
    CASE WHEN is_rare THEN 'rare' ELSE 'default' END, id, 'text/plain', (age * 7919::bigint) % 100000,
    '', '', now() - age * interval '1 minute', '{{}}',
    CASE WHEN age % 4 = 0 THEN jsonb_build_object(
        'files', jsonb_build_object('title', 'Title of ' || id)) ELSE '{{}}' END
FROM made;
INSERT INTO {owners} (file_id, owner_type, owner_id, pinned)
SELECT id, type, owner, type <> 'user' FROM made;
DROP TABLE made
