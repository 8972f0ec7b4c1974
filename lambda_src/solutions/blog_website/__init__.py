"""The handlers of `blog-website`: posts and sign-ups behind an API, and welcome mails from a stream."""
