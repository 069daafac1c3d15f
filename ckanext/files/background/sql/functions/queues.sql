-- Queues, and which of them are paused.

-- Return the names of all queues that have jobs, from the index: one look for each.
CREATE OR REPLACE FUNCTION files_queues() RETURNS varchar[] LANGUAGE sql STABLE
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
    WITH RECURSIVE queue (name) AS (
        (SELECT queue_name FROM procrastinate_jobs ORDER BY queue_name LIMIT 1)
        UNION ALL
        SELECT (SELECT j.queue_name FROM procrastinate_jobs j WHERE j.queue_name > queue.name
                ORDER BY j.queue_name LIMIT 1)
        FROM queue WHERE queue.name IS NOT NULL)
    SELECT coalesce(array_agg(name), '{}') FROM queue WHERE name IS NOT NULL
$$;

-- Return the queues whose jobs a worker may claim, of its own ones or of all.
--
-- A caller that works for all queues looks first whether one is paused: that takes less time than this call.
CREATE OR REPLACE FUNCTION files_open_queues(_queues varchar[]) RETURNS varchar[] LANGUAGE sql STABLE AS $$
    SELECT ARRAY(SELECT queue FROM unnest(coalesce(_queues, files_queues())) AS named (queue)
                 WHERE queue NOT IN (SELECT p.queue FROM files_paused_queue p))
$$;

-- Return whether the queue of a job is paused.
CREATE OR REPLACE FUNCTION files_is_paused(_job bigint) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM procrastinate_jobs j JOIN files_paused_queue p ON p.queue = j.queue_name WHERE j.id = _job);
END;
$$;
