-- The guestbook's schema, run once by the database's primary: the application's own account
-- may only SELECT, INSERT, UPDATE and DELETE. Running it again changes nothing.
-- Statements end with a semicolon at the end of a line.

CREATE DATABASE IF NOT EXISTS app CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

-- `key` is chosen by the client and compared byte by byte. written_by is the name of the
-- database server that executed the INSERT.
CREATE TABLE IF NOT EXISTS app.entries (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  `key` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  text VARCHAR(500) NOT NULL,
  created_at DATETIME(3) NOT NULL DEFAULT (UTC_TIMESTAMP(3)),
  written_by VARCHAR(255) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY entries_key (`key`)
) ENGINE = InnoDB;
