-- The snapshot of all settings.

-- name: settings_version
SELECT value FROM mailqueue_meta WHERE key = 'settings'

-- name: all_accounts
SELECT id, name, notices, schedule, retention, keep_content, on_uncertain, strict FROM mailqueue_account ORDER BY id

-- name: all_transports
SELECT id, name, kind, host, port, tls, allow_private, reply, is_default FROM mailqueue_transport ORDER BY id

-- name: all_routes
SELECT route.id, route.position, route.sender_domain, route.recipient_domain, transport.name
FROM mailqueue_route AS route
JOIN mailqueue_transport AS transport ON transport.id = route.transport_id
ORDER BY route.position, route.id

-- name: all_schedules
SELECT name, delays, lifetime, warn_after FROM mailqueue_schedule ORDER BY id

-- name: all_hold_rules
SELECT id, account_id, sender_domain, sender, recipient_domain, recipient, reason, actor, created_at,
    marked_through < last_message_id
FROM mailqueue_hold_rule ORDER BY id
