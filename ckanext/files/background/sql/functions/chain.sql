-- Chains: the calls of a job that runs several, and its parts for people.
--
-- This file comes before those that use its functions.

-- Return whether a task is the one that runs the calls of a chain. Its name is in parts.py.
CREATE OR REPLACE FUNCTION files_is_chain(_task text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT _task = 'ckanext.files.chain'
$$;

-- Return the calls of a chain; NULL for any other job, and for one whose arguments are no such calls.
CREATE OR REPLACE FUNCTION files_calls(_task text, _args jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN files_is_chain(_task) AND _args -> 'calls' = jsonb_path_query_array(_args, '$.calls[*]
        ? (@.type() == "object" && @.__call__.type() == "string" && @.args.type() == "object")')
        THEN _args -> 'calls' END
$$;

-- Return the names of the tasks of the first hundred calls, and how many calls there are.
CREATE OR REPLACE FUNCTION files_parts_of_calls(_calls jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT jsonb_build_object(
        'tasks', jsonb_path_query_array(_calls, '$[0 to 99].__call__'), 'total', jsonb_array_length(_calls))
$$;

-- Return the parts of a chain that a step has returned to go on with; NULL if it has returned another call.
--
-- The chain's own next steps have the argument total.
CREATE OR REPLACE FUNCTION files_returned_parts(_call jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT files_parts_of_calls(files_calls(_call ->> 'task', _call -> 'args'))
    WHERE files_is_chain(_call ->> 'task') AND _call #> '{args,total}' IS NULL
$$;

-- Return the parts of a job that is a chain, or goes on with the chain whose parts are _returned: as
-- files_parts_of_calls does, and how many have ended. NULL for any other job.
CREATE OR REPLACE FUNCTION files_parts(
    _task text, _args jsonb, _returned jsonb, _call jsonb, _has_succeeded boolean)
    RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT parts || jsonb_build_object('done', CASE WHEN _has_succeeded THEN total ELSE total - coalesce(
        jsonb_array_length(jsonb_path_query_array(_call, '$.args.calls[*]')), total) END)
    FROM coalesce(files_parts_of_calls(files_calls(_task, _args)), _returned) AS parts,
        CAST(parts ->> 'total' AS integer) AS total
    WHERE parts IS NOT NULL
$$;
