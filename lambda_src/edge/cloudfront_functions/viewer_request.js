// Viewer request → redirect, rewritten URI, checked token, and a cache key with nothing in it but what matters.
//
// Items of the key value store: "/old" → where that path redirects to; "key:ID" → a secret that signs tokens.
// The URI comes as the viewer wrote it, and the bucket decodes it: everything is decided about the decoded path.
import cf from 'cloudfront';
import crypto from 'crypto';

const store = cf.kvs();
const LANGUAGES = ['en', 'de', 'fr'];
const PARAMETERS = ['currency', 'page'];

async function handler(event) {
  const request = event.request;
  const path = decoded(request.uri);
  if (path === null) return answer(400, 'Bad Request', 'no-store');
  if (await store.exists(path)) return redirect(await store.get(path), request);
  if (path.startsWith('/private/') && !(await isSigned(path, request.querystring.token))) {
    return answer(403, 'Forbidden', 'no-store');
  }
  if (request.uri.endsWith('/')) request.uri += 'index.html';
  normalise(request);
  return request;
}

// What the origin looks for; null for a malformed escape, an empty segment or a dot segment.
function decoded(uri) {
  try {
    const path = decodeURIComponent(uri);
    return /\/\/|\\|\/\.\.?(\/|$)/.test(path) ? null : path;
  } catch (_) {
    return null;
  }
}

// With the known parameters, so far as they are plain words.
function redirect(target, request) {
  normalise(request);
  const names = Object.keys(request.querystring).filter((name) => /^[\w-]+$/.test(request.querystring[name].value));
  const query = names.map((name) => name + '=' + request.querystring[name].value).join('&');
  const moved = answer(301, 'Moved Permanently', 'max-age=60');
  moved.headers.location = { value: query && !target.includes('?') ? target + '?' + query : target };
  return moved;
}

// The viewer response function does not run for these, so they get their security headers here.
function answer(statusCode, statusDescription, cacheControl) {
  const headers = {
    'cache-control': { value: cacheControl },
    'strict-transport-security': { value: 'max-age=63072000; includeSubDomains' },
    'x-content-type-options': { value: 'nosniff' },
    'referrer-policy': { value: 'same-origin' },
  };
  return { statusCode: statusCode, statusDescription: statusDescription, headers: headers };
}

// Known parameters in one order and spelling; the language instead of what browsers say about languages.
function normalise(request) {
  const kept = {};
  for (const name of PARAMETERS) {
    const given = request.querystring[name];
    if (given && given.value) kept[name] = { value: given.value.toLowerCase() };
  }
  request.querystring = kept;
  const accepted = request.headers['accept-language'];
  request.headers['accept-language'] = { value: preferred(accepted ? accepted.value : '') };
}

// The known language of the highest quality; of several, the first.
function preferred(accepted) {
  let language = 'en';
  let highest = 0;
  for (const range of accepted.toLowerCase().split(',')) {
    const parts = range.trim().split(/\s*;\s*q\s*=\s*/);
    const known = parts[0].split('-')[0];
    const quality = parts.length > 1 ? Number(parts[1]) : 1;
    if (LANGUAGES.includes(known) && quality > highest) {
      language = known;
      highest = quality;
    }
  }
  return language;
}

// token=ID.EXPIRES.SIGNATURE: base64url of the HMAC-SHA256 of the decoded path and EXPIRES (seconds since 1970).
async function isSigned(path, given) {
  const parts = given ? given.value.split('.') : [];
  if (parts.length !== 3 || !/^\d{1,12}$/.test(parts[1])) return false;
  if (Number(parts[1]) * 1000 <= Date.now()) return false;
  if (!(await store.exists('key:' + parts[0]))) return false;
  const secret = await store.get('key:' + parts[0]);
  if (!secret) return false; // anyone can sign with an empty secret
  const expected = crypto.createHmac('sha256', secret).update(path + '\n' + parts[1]).digest('base64url');
  return isSame(expected, parts[2]);
}

// As long for a wrong first character as for a wrong last one.
function isSame(expected, given) {
  let different = expected.length ^ given.length;
  for (let i = 0; i < expected.length; i += 1) different |= expected.charCodeAt(i) ^ given.charCodeAt(i);
  return different === 0;
}
