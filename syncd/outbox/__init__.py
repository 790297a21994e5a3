"""PostgreSQL to Marketo: claim, send, settle, rescue."""
