//! GourmetGram, the web application.
