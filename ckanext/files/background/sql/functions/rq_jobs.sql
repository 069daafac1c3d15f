-- Jobs of CKAN's toolkit.enqueue_job: each change is one statement, as it may be a transaction of its own.

-- Return the scheduled_at of a job that waits for the end of others.
CREATE OR REPLACE FUNCTION files_never() RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT timestamptz '9000-01-01 00:00:00+00'
$$;

-- Return the status of a job, but of one that waits for a time "scheduled", and for other jobs "deferred".
CREATE OR REPLACE FUNCTION files_rq_status(_status procrastinate_job_status, _at timestamptz)
    RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN _status <> 'todo' OR _at IS NULL THEN _status::text
        WHEN _at = files_never() THEN 'deferred' ELSE 'scheduled' END
$$;

-- Return the newest job that has an id, or had it. Each index has either the current jobs or the others.
--
-- With max(job_id) and old statistics PostgreSQL would look for the id among all jobs, in the order of the primary key.
CREATE OR REPLACE FUNCTION files_rq_newest(_rq_id text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT greatest((SELECT job_id FROM files_rq_job WHERE rq_id = _rq_id AND current),
        (SELECT max(job_id + 0) FROM files_rq_job WHERE rq_id = _rq_id AND NOT current))
$$;

-- Write a job, and return its id. The job that had the _rq_id loses it, and does not begin any more. If _unique, and
-- that one waits or runs, or one that has lost the _rq_id runs on, no job is written, and NULL is returned.
--
-- A call whose answer was lost may be repeated: a job with the same _rq_id, _signature and time is that job, and its id
-- is returned, also if it has begun or ended meanwhile, but not if it was cancelled, changed or put off.
--
-- If a concurrent transaction has just written a job with the same _rq_id, the function waits for its end.
CREATE OR REPLACE FUNCTION files_rq_put(
    _rq_id text, _origin text, _queue varchar, _task varchar, _priority integer, _at timestamptz,
    _title text, _user text, _hash bytea, _signature bytea, _depends_on text[], _allow_failure boolean,
    _unique boolean)
    RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    _job bigint;
    _same bigint;
BEGIN
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args, scheduled_at)
        VALUES (_queue, _task, _priority, '{}', _at) RETURNING id INTO _job;
    LOOP
        INSERT INTO files_rq_job (job_id, rq_id, origin, hash, signature)
            VALUES (_job, _rq_id, _origin, _hash, _signature)
            ON CONFLICT (rq_id) WHERE current DO NOTHING;
        EXIT WHEN FOUND;
        SELECT r.job_id INTO _same FROM files_rq_job r JOIN procrastinate_jobs j ON j.id = r.job_id
            WHERE r.rq_id = _rq_id AND r.current AND r.signature = _signature AND j.status <> 'cancelled'
              AND (j.scheduled_at IS NOT DISTINCT FROM _at OR cardinality(_depends_on) > 0);
        IF FOUND THEN
            DELETE FROM procrastinate_jobs WHERE id = _job;
            RETURN _same;
        END IF;
        IF _unique AND EXISTS (
            SELECT FROM files_rq_job r JOIN procrastinate_jobs j ON j.id = r.job_id
            WHERE r.rq_id = _rq_id AND r.current AND j.status IN ('todo', 'doing')) THEN
            DELETE FROM procrastinate_jobs WHERE id = _job;
            RETURN NULL;
        END IF;
        PERFORM files_rq_drop(_rq_id);
    END LOOP;
    IF _unique AND EXISTS (SELECT FROM files_rq_job r JOIN procrastinate_jobs j ON j.id = r.job_id
        WHERE r.rq_id = _rq_id AND NOT r.current AND j.status = 'doing') THEN
        DELETE FROM procrastinate_jobs WHERE id = _job;
        RETURN NULL;
    END IF;
    IF _title IS NOT NULL OR _user IS NOT NULL THEN
        INSERT INTO files_job (job_id, title, user_id) VALUES (_job, _title, _user);
    END IF;
    IF cardinality(_depends_on) > 0 THEN
        PERFORM files_rq_defer(_job, _depends_on, _allow_failure);
    END IF;
    RETURN _job;
END;
$$;

-- Let a job wait for the end of others. RQ takes ids that no job has for jobs that ended long ago.
CREATE OR REPLACE FUNCTION files_rq_defer(_job bigint, _depends_on text[], _allow_failure boolean)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO files_rq_dependency (job_id, on_rq_id, allow_failure)
        SELECT _job, rq_id, _allow_failure FROM files_rq_job
        WHERE current AND rq_id = ANY (_depends_on) AND job_id <> _job;
    IF FOUND THEN
        UPDATE procrastinate_jobs SET scheduled_at = files_never() WHERE id = _job;
        PERFORM files_rq_free_dependents(_job);
    END IF;
END;
$$;

-- Write what was changed of a job; return false if it has lost its id, to a newer job or as it was deleted.
CREATE OR REPLACE FUNCTION files_rq_save(_job bigint, _title text, _hash bytea, _signature bytea)
    RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE files_rq_job SET hash = _hash, signature = _signature WHERE job_id = _job AND current;
    IF FOUND AND _title IS NOT NULL THEN
        INSERT INTO files_job (job_id, title) VALUES (_job, _title)
            ON CONFLICT (job_id) DO UPDATE SET title = excluded.title;
        RETURN true;
    END IF;
    RETURN FOUND;
END;
$$;

-- Cancel the job with an id, unless a worker runs it; return its id.
CREATE OR REPLACE FUNCTION files_rq_cancel(_rq_id text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    _job CONSTANT bigint := (SELECT job_id FROM files_rq_job WHERE rq_id = _rq_id AND current);
BEGIN
    UPDATE procrastinate_jobs SET
        status = CASE status WHEN 'todo' THEN 'cancelled' ELSE 'aborted' END::procrastinate_job_status,
        attempts = attempts + CASE status WHEN 'doing' THEN 1 ELSE 0 END
        WHERE id = _job AND (status = 'todo' OR status = 'doing' AND worker_id IS NULL);
    IF FOUND THEN
        UPDATE files_job SET resume_order = NULL WHERE job_id = _job;
    END IF;
    RETURN _job;
END;
$$;

-- Cancel the job with an id likewise, and take the id from it. A job on its way to Redis stays here.
CREATE OR REPLACE FUNCTION files_rq_drop(_rq_id text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    _job CONSTANT bigint := files_rq_cancel(_rq_id);
BEGIN
    UPDATE files_rq_job SET current = false WHERE job_id = _job;
    -- a statement of its own: it sees the note of a transaction for which the function has waited
    DELETE FROM files_rq_outbox WHERE job_id = _job;
END;
$$;

-- Cancel all jobs that wait in a queue likewise; return how many.
CREATE OR REPLACE FUNCTION files_rq_empty(_origin text, _queue varchar) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    _jobs bigint[];
BEGIN
    WITH waiting AS (
        SELECT j.id FROM procrastinate_jobs j JOIN files_rq_job r ON r.job_id = j.id
        WHERE j.queue_name = _queue AND j.status = 'todo' AND j.scheduled_at IS NULL
          AND r.origin = _origin AND r.current
        ORDER BY j.id FOR UPDATE OF j
    ), emptied AS (
        UPDATE procrastinate_jobs SET status = 'cancelled' WHERE id IN (SELECT id FROM waiting) RETURNING id
    )
    SELECT array_agg(id) INTO _jobs FROM emptied;
    UPDATE files_rq_job SET current = false WHERE job_id = ANY (_jobs);
    RETURN coalesce(cardinality(_jobs), 0);
END;
$$;

-- Return the jobs that wait in a queue, the first one first.
--
-- A page at the beginning of a long queue reads no more jobs than it has, with these settings: see files_claim. Only
-- the primary key serves the conditions on files_rq_job as they are written: with old statistics PostgreSQL would read
-- an index of all current jobs for each one.
CREATE OR REPLACE FUNCTION files_rq_waiting(_origin text, _queue varchar, _offset bigint, _limit bigint)
    RETURNS SETOF files_rq_job LANGUAGE sql STABLE
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off AS $$
    SELECT r.* FROM procrastinate_jobs j CROSS JOIN LATERAL (
        SELECT * FROM files_rq_job
        WHERE job_id = j.id AND current::integer = 1 AND origin || '' = _origin OFFSET 0) AS r
    WHERE j.status = 'todo' AND j.scheduled_at IS NULL AND j.queue_name BETWEEN _queue AND _queue
    ORDER BY j.queue_name, j.priority DESC, j.id OFFSET _offset LIMIT _limit
$$;

-- Let the jobs run whose dependencies have all ended, or _job only, a thousand at most; return how many.
--
-- A dependency is the newest job that has its id, or had it when it was deleted. One that has not succeeded holds its
-- dependents up for ever, unless they allow that; a retry of it may still free them. The function skips
-- jobs that other transactions have locked, and forgets those that wait no more.
--
-- Of _job it reads nothing else, however many jobs there are and however old the statistics: it looks each job
-- up by its id. coalesce(scheduled_at) is written so that no index serves it.
CREATE OR REPLACE FUNCTION files_rq_free_dependents(_job bigint DEFAULT NULL) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    _jobs bigint[];
    _id bigint;
    _count integer := 0;
BEGIN
    WITH ready AS (
        SELECT d.job_id FROM files_rq_dependency d CROSS JOIN LATERAL (
            SELECT (SELECT status FROM procrastinate_jobs WHERE id = files_rq_newest(d.on_rq_id)) OFFSET 0
            ) AS other (status)
        WHERE d.job_id BETWEEN coalesce(_job, 0) AND coalesce(_job, 9223372036854775807)
        GROUP BY d.job_id
        HAVING bool_and(coalesce(other.status = 'succeeded', false)
            OR d.allow_failure AND coalesce(other.status NOT IN ('todo', 'doing'), true))
    ), gone AS (
        SELECT d.job_id FROM files_rq_dependency d JOIN procrastinate_jobs j ON j.id = d.job_id
        WHERE _job IS NULL AND (j.status <> 'todo' OR j.scheduled_at IS DISTINCT FROM files_never())
    )
    SELECT array_agg(job_id ORDER BY job_id) INTO _jobs
        FROM (SELECT job_id FROM ready UNION SELECT job_id FROM gone ORDER BY job_id LIMIT 1000) AS found;
    FOREACH _id IN ARRAY coalesce(_jobs, '{}') LOOP
        PERFORM FROM procrastinate_jobs WHERE id = _id FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        UPDATE procrastinate_jobs SET scheduled_at = NULL
            WHERE id = _id AND status = 'todo' AND coalesce(scheduled_at, now()) = files_never();
        _count := _count + CASE WHEN FOUND THEN 1 ELSE 0 END;
        DELETE FROM files_rq_dependency WHERE job_id = _id;
    END LOOP;
    RETURN _count;
END;
$$;

-- Empty the results whose time is over, a thousand at most; return how many.
CREATE OR REPLACE FUNCTION files_rq_forget_results() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    _count integer;
BEGIN
    UPDATE files_rq_job SET result = NULL, result_until = NULL WHERE job_id IN (
        SELECT job_id FROM files_rq_job WHERE result_until <= now()
        ORDER BY result_until LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED);
    GET DIAGNOSTICS _count = ROW_COUNT;
    RETURN _count;
END;
$$;

-- Cancel jobs, and note that they are on their way to Redis; return how many. If some of them do not wait any more,
-- the function changes none.
CREATE OR REPLACE FUNCTION files_rq_send(_jobs bigint[]) RETURNS bigint LANGUAGE sql AS $$
    WITH waiting AS (
        SELECT id FROM procrastinate_jobs WHERE id = ANY (_jobs) AND status = 'todo' ORDER BY id FOR UPDATE
    ), cancelled AS (
        UPDATE procrastinate_jobs SET status = 'cancelled'
        WHERE id IN (SELECT id FROM waiting) AND (SELECT count(*) FROM waiting) = cardinality(_jobs)
        RETURNING id
    ), resumed AS (
        UPDATE files_job SET resume_order = NULL WHERE job_id IN (SELECT id FROM cancelled)
    ), noted AS (
        INSERT INTO files_rq_outbox (job_id) SELECT id FROM cancelled RETURNING job_id
    )
    SELECT count(*) FROM noted
$$;

-- Note that a job is in Redis, which has its id from now on.
CREATE OR REPLACE FUNCTION files_rq_sent(_job bigint) RETURNS void LANGUAGE sql AS $$
    DELETE FROM files_rq_outbox WHERE job_id = _job;
    UPDATE files_rq_job SET current = false WHERE job_id = _job;
$$;
