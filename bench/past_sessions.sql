-- Rows as paid sessions leave them, on SQLite: :count of them, spread over :carts carts and as many shoppers.

CREATE TEMP TABLE numbers AS
    WITH RECURSIVE counting(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counting WHERE n < :count)
    SELECT n, 1 + n % :carts AS cart FROM counting;

INSERT INTO sessions (id, cart_id, user_id, qr_round, is_active, version, created_at, touched_at, touched_wall, ended_at,
                      ended_steady, end_reason)
    SELECT n, cart, cart, 0, 0, 5, :now, :now, :now, :now, :now, 'paid' FROM numbers;

INSERT INTO basket_lines (session_id, product_id, quantity, unit_price, saved_weight, added_at)
    SELECT n, 1, 1, 1250, 0, :now FROM numbers;

INSERT INTO payments (session_id, provider, token, provider_ref, state, amount, currency, created_at, created_steady, closed_at,
                      news_version)
    SELECT n, 'sandbox', 'past-' || n, CASE WHEN n % 50 THEN 'past-' || n END,  -- one in fifty the provider never had
           CASE WHEN n % 50 THEN 'paid' ELSE 'failed' END, 1250, 'EGP', :now, :now, :now, 4
    FROM numbers;

INSERT INTO commands (cart_id, seq, type, session_id, state, attempted, boot_generation, queued_at, sent_at, received_at)
    SELECT cart, 1 + 4 * (n / :carts) + place, type, CASE WHEN place > 0 THEN n END, 'received', 1, 0, :now, :now, :now
    FROM numbers, (SELECT 0 AS place, 'generate_qr' AS type UNION SELECT 1, 'session_started'
                   UNION SELECT 2, 'payment_created' UNION SELECT 3, 'end_session');

INSERT INTO analytics (session_id, cart_id, user_id, started_at, ended_at, end_reason, units, total, paid, currency)
    SELECT n, cart, cart, :now, :now, 'paid', 1, 1250, 1250, 'EGP' FROM numbers;

UPDATE carts SET last_seq = 4 * (:count / :carts) + 8;
