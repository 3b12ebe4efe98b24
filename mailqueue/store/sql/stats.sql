-- The queue in numbers. What is walked here has a row for each hour of a domain, or of what happened: never one for each message.

-- name: largest_domains
SELECT domain, count(*) OVER () FROM (
    SELECT domain, sum(messages) AS messages FROM mailqueue_waiting GROUP BY domain HAVING sum(messages) > 0)
ORDER BY messages DESC, domain LIMIT ?

-- name: waiting_by_hour
SELECT domain, hour_at, messages FROM mailqueue_waiting
WHERE domain IN (SELECT value FROM json_each(?)) AND messages > 0
ORDER BY domain, hour_at

-- name: tally
SELECT what, detail, sum(times) FROM mailqueue_tally WHERE hour_at >= ? GROUP BY what, detail

-- name: tally_by_hour
SELECT hour_at, sum(CASE WHEN what = 'submitted' THEN times ELSE 0 END),
    sum(CASE WHEN what = 'retired' AND detail = 'delivered' THEN times ELSE 0 END),
    sum(CASE WHEN what = 'retired' AND detail IN ('failed', 'expired') THEN times ELSE 0 END)
FROM mailqueue_tally WHERE hour_at >= ? AND what IN ('submitted', 'retired')
GROUP BY hour_at ORDER BY hour_at
