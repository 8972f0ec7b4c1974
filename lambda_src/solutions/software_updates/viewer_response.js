// Viewer response → how long clients may keep it. It does not run for errors: a client keeps no 404 for a year.
function handler(event) {
  const headers = event.response.headers;
  const released = event.request.uri.startsWith('/releases/');
  headers['cache-control'] = { value: released ? 'public, max-age=31536000, immutable' : 'no-cache' };
  headers['strict-transport-security'] = { value: 'max-age=63072000' };
  headers['x-content-type-options'] = { value: 'nosniff' };
  return event.response;
}
