// The posts of the API as cards, one post (?post=ID) with its text, and sign-ups. Texts are set as text, never as
// markup.
const posts = document.getElementById('posts');
const more = document.getElementById('more');
const form = document.getElementById('subscribe');
const answer = document.getElementById('answer');

function card(post) {
  const article = document.createElement('article');
  if (post.picture) {
    const image = document.createElement('img');
    const [small, large] = Object.keys(post.picture);
    image.src = post.picture[small];
    image.srcset = `${post.picture[small]} ${small}w, ${post.picture[large]} ${large}w`;
    image.sizes = '20rem';
    image.alt = '';
    image.addEventListener('error', () => image.remove()); // there is no thumbnail (yet)
    article.append(image);
  }
  const text = document.createElement('div');
  const link = document.createElement('a');
  link.href = `?post=${encodeURIComponent(post.id)}`;
  link.textContent = post.title ?? post.id;
  text.append(element('h2', link), element('p', post.summary ?? ''));
  if (post.text) text.append(element('p', post.text));
  article.append(text);
  return article;
}

function element(tag, content) {
  const made = document.createElement(tag);
  made.append(content);
  return made;
}

async function ask(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: the API answered ${response.status}`);
  return response.json();
}

async function showOne(id) {
  posts.append(card(await ask(`/api/posts/${encodeURIComponent(id)}`)));
}

async function showPage(before) {
  const page = await ask('/api/posts' + (before ? `?before=${encodeURIComponent(before)}` : ''));
  posts.append(...page.posts.map(card));
  more.hidden = !page.next;
  more.onclick = () => load(() => showPage(page.next));
}

async function load(show) {
  posts.setAttribute('aria-busy', 'true');
  more.disabled = true; // a second click would append the same page again
  try {
    await show();
  } catch (error) {
    answer.textContent = 'This cannot be loaded now. Please try again later.';
    console.error(error);
  }
  more.disabled = false;
  posts.setAttribute('aria-busy', 'false');
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = form.querySelector('button');
  button.disabled = true;
  try {
    const response = await fetch('/api/subscribers', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: form.email.value }),
    });
    answer.textContent = (await response.json()).message;
  } catch (error) {
    answer.textContent = 'That did not work. Please try again later.';
    console.error(error);
  }
  button.disabled = false;
});

const id = new URLSearchParams(location.search).get('post');
load(() => (id ? showOne(id) : showPage()));
