-- The snapshot of all settings.

-- name: settings_version
SELECT value FROM mailqueue_meta WHERE key = 'settings'

-- name: all_accounts
SELECT id, name, notices, schedule, retention, keep_content, on_uncertain, strict, messages_per_day,
    new_recipients_per_day, over_quota, fromid, suppression, suppress_for
FROM mailqueue_account ORDER BY id

-- name: all_sender_domains
SELECT name, separator FROM mailqueue_sender_domain ORDER BY name

-- name: all_transports
SELECT id, name, kind, host, port, tls, username, password, auth, ca_file, allow_private, reply, is_default
FROM mailqueue_transport ORDER BY id

-- name: all_routes
SELECT route.id, route.position, route.account_id, route.sender_domain, route.recipient_domain, route.min_attempts,
    transport.name
FROM mailqueue_route AS route
JOIN mailqueue_transport AS transport ON transport.id = route.transport_id
ORDER BY route.account_id IS NULL, route.sender_domain IS NULL AND route.recipient_domain IS NULL,
    route.position, route.id

-- name: all_schedules
SELECT name, delays, lifetime, warn_after FROM mailqueue_schedule ORDER BY id

-- name: all_hold_rules
SELECT id, account_id, sender_domain, sender, recipient_domain, recipient, reason, actor, created_at,
    marked_through < last_message_id, until_at, then_do, per_minute, ended_at, ended_by, ended_reason, next_at, let_go
FROM mailqueue_hold_rule ORDER BY id

-- name: all_reply_rules
SELECT id, position, pattern, code, category, permanent, note, actor, created_at
FROM mailqueue_reply_rule ORDER BY position, id

-- name: all_shaping_rules
SELECT id, position, transport, domain, mx, connections, per_connection, per_minute, reason, actor, created_at
FROM mailqueue_shaping_rule ORDER BY position, id
