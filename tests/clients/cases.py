"""The cases to record: which clients, and what each of them sends.

A case is one connection of one client: its name is the file's name and the task's id. {base} is the recorder's address, {task} the name,
{body} the JSON text of the request.
"""

import dataclasses

API = "/api/v1/faceflip"
POST = "{base}" + API + "/generate/stream"
FOLLOW = "{base}" + API + "/tasks/{task}/stream"
QUEUE = "{base}" + API + "/queue"
JSON_TYPE = "Content-Type: application/json"
LAST = "Last-Event-ID: 1700000000000-2"
LARGE = 2_000_000
TWICE = "200 200"


@dataclasses.dataclass
class Case:
    name: str
    client: str             # with {versions}
    argv: tuple
    answers: str = "done"   # the gateway's answers, one word per request
    stdin: str = ""
    source: str = "recorded"


def curl(name, *argv, **more):
    return Case(f"curl-{name}", "curl {curl}", ("curl", "-sSN", "--noproxy", "", *argv), **more)


def wget(name, *argv, **more):
    return Case(f"wget-{name}", "Wget {wget}", ("wget", "-q", "-O", "/dev/null", *argv), **more)


def program(words, client, prefix, names, more=None):
    """The cases of one program. names: {name: answers or None}. The file is named prefix-name; the program's case is more + name."""
    return [Case(f"{prefix}-{name}", client, (*words, f"{more}{name}" if more is not None else name, "{base}", "{task}"),
                 answers or (TWICE if name in ("twice", "pipelined") else "done")) for name, answers in names.items()]


def names(text, **others):
    return {**dict.fromkeys(text.split()), **{name.replace("_", "-"): answers for name, answers in others.items()}}


CURL = [
    curl("post", POST, "-H", JSON_TYPE, "-d", "{body}"),
    curl("post-stdin", POST, "-H", JSON_TYPE, "-d", "@-", stdin="{body}"),
    curl("data-binary", POST, "-H", JSON_TYPE, "--data-binary", "@-", stdin="{body}"),
    curl("json", POST, "--json", "{body}", answers="406"),       # it sends "Accept: application/json"
    curl("without-type", POST, "-d", "{body}", answers="415"),
    curl("form", POST, "-F", "request={body};type=application/json", answers="415"),
    curl("upload-chunked", "-X", "POST", "-T", "-", POST, "-H", JSON_TYPE, stdin="{body}"),
    curl("data-chunked", POST, "-H", JSON_TYPE, "-H", "Transfer-Encoding: chunked", "-d", "@-", stdin="{body}"),
    curl("1.0", "--http1.0", POST, "-H", JSON_TYPE, "-d", "{body}"),
    curl("proxy", "-x", "{base}", POST, "-H", JSON_TYPE, "-d", "{body}"),
    curl("proxy-resume", "-x", "{base}", FOLLOW, "-H", LAST),
    curl("expect", POST, "-H", JSON_TYPE, "-H", "Expect: 100-continue", "-d", "{body}"),
    curl("large", POST, "-H", JSON_TYPE, "-d", "@-", stdin="x" * LARGE, answers="413"),
    curl("http2", "--http2", POST, "-H", JSON_TYPE, "-d", "{body}"),
    curl("compressed", "--compressed", POST, "-H", JSON_TYPE, "-d", "{body}"),
    curl("resume", FOLLOW, "-H", LAST),
    curl("resume-1.0", "-0", FOLLOW, "-H", LAST),
    curl("twice", QUEUE, QUEUE, answers=TWICE),
    curl("post-then-get", POST, "-H", JSON_TYPE, "-d", "{body}", "--next", "-sS", QUEUE, answers="done 200"),
]

WGET = [
    wget("post", "--header", JSON_TYPE, "--post-data", "{body}", POST),
    wget("method", "--header", JSON_TYPE, "--method", "POST", "--body-data", "{body}", POST),
    wget("proxy", "-e", "use_proxy=yes", "-e", "http_proxy={base}", "--header", JSON_TYPE, "--post-data", "{body}", POST),
    wget("resume", "--header", LAST, FOLLOW),
    wget("twice", QUEUE, QUEUE, answers=TWICE),
]

NODE, PYTHON, JAVA = ("node", "node.mjs"), ("/usr/bin/python3", "python.py"), ("java", "-cp", "{jars}", "Client.java")
GO, PHP, RUBY, PERL = ("./go-client",), ("php", "client.php"), ("ruby", "client.rb"), ("perl", "client.pl")

PROGRAMS = [
    *program(NODE, "Node.js {node} fetch", "node-fetch", more="fetch-", names=names(
        "post chunked blob resume twice", post_without_type="415", post_then_get="done 200")),
    *program(NODE, "Node.js {node} http", "node-http", names("post post-end chunked pipe resume twice"), "http-"),
    *program(NODE, "undici {undici} on Node.js {node}", "undici", names("post chunked resume twice pipelined"), "undici-"),
    *program(NODE, "axios {axios} on Node.js {node}", "axios", names("post chunked fetch-post resume twice"), "axios-"),
    *program(NODE, "node-fetch {node-fetch} on Node.js {node}", "npm-node-fetch", names("post chunked"), "node-fetch-"),
    *program(NODE, "got {got} on Node.js {node}", "got", names("post chunked"), "got-"),
    *program(NODE, "eventsource {eventsource} on Node.js {node}", "eventsource", names("first resume"), "eventsource-"),
    *program(NODE, "fetch-event-source {@microsoft/fetch-event-source} on Node.js {node}", "fetch-event-source", names("post resume"),
             "fetch-event-source-"),
    *program(PYTHON, "Python {python} urllib", "python-urllib", names("post chunked resume proxy"), "urllib-"),
    *program(PYTHON, "Python {python} http.client", "python-http-client", names("post chunked resume twice"), "http-client-"),
    *program(PYTHON, "requests {requests} on Python {python}", "python-requests",
             names("post chunked resume twice proxy", post_then_get="done 200"), "requests-"),
    *program(PYTHON, "httpx {httpx} on Python {python}", "python-httpx", names("post chunked async-chunked resume twice proxy"), "httpx-"),
    *program(PYTHON, "aiohttp {aiohttp} on Python {python}", "python-aiohttp", names("post chunked resume twice"), "aiohttp-"),
    *program(JAVA, "Java {java} HttpClient", "java-httpclient",
             names("post chunked 1.1-post 1.1-chunked expect resume twice proxy"), "httpclient-"),
    *program(JAVA, "Java {java} HttpURLConnection", "java-urlconnection", names("post chunked fixed resume twice"), "urlconnection-"),
    *program(JAVA, "Apache HttpClient {apache} on Java {java}", "java-apache", names("post chunked resume twice"), "apache-"),
    *program(JAVA, "OkHttp {okhttp} on Java {java}", "java-okhttp", names("post chunked resume twice"), "okhttp-"),
    *program(GO, "Go {go} net/http", "go", names("post chunked pipe expect resume twice proxy")),
    *program(PHP, "PHP {php} http stream wrapper", "php-stream", names("post 1.0-post resume"), "stream-"),
    *program(PHP, "PHP {php} with libcurl {libcurl}", "php-curl", names("post"), "curl-"),
    *program(PHP, "Guzzle {guzzle} on PHP {php}", "php-guzzle", names("post chunked"), "guzzle-"),
    *program(RUBY, "Ruby {ruby} Net::HTTP", "ruby", names("post chunked resume twice")),
    *program(RUBY, "Faraday {faraday} on Ruby {ruby}", "ruby-faraday", names("post"), "faraday-"),
    *program(PERL, "HTTP::Tiny {tiny} on Perl {perl}", "perl-tiny", names("post chunked resume twice"), "tiny-"),
    *program(PERL, "LWP::UserAgent {lwp} on Perl {perl}", "perl-lwp", names("post chunked"), "lwp-"),
]

CLIENTS = CURL + WGET + PROGRAMS

# -- clients that cannot be run here; their requests are reconstructed. DOTNET: SocketsHttpHandler writes Host, the request's fields, then
# the content's; each write of the serializer is one chunk, with its size in upper case. SPRING: as in the log of the JDK's client in that
# issue, with a body of unknown length, which RestClient sends since 6.1.

DOTNET = "reconstructed: dotnet/runtime#49357, HttpConnection.WriteHeaders and ChunkedEncodingWriteStream"
SPRING = "reconstructed: spring-framework#33275 and #32816"


@dataclasses.dataclass
class Reconstructed:
    name: str
    client: str
    source: str
    lines: tuple            # header lines, without Host and length
    pieces: int = 1         # chunks; 0: a body of known length


RECONSTRUCTED = [
    Reconstructed("dotnet-post-as-json", ".NET 8 HttpClient.PostAsJsonAsync", DOTNET,
                  ("Host: {authority}", "Transfer-Encoding: chunked", "Content-Type: application/json; charset=utf-8")),
    Reconstructed("dotnet-post-as-json-traced", ".NET 8 HttpClient.PostAsJsonAsync in an ASP.NET Core service", DOTNET,
                  ("Host: {authority}", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
                   "Transfer-Encoding: chunked", "Content-Type: application/json; charset=utf-8")),
    Reconstructed("dotnet-string-content", ".NET 8 HttpClient.PostAsync with a StringContent", DOTNET,
                  ("Host: {authority}", "Content-Type: application/json; charset=utf-8", "Content-Length: {length}"), 0),
    Reconstructed("dotnet-framework-post-as-json", ".NET Framework 4.8 HttpClient.PostAsJsonAsync",
                  "reconstructed: aspnet/AspNetWebStack#252 and the Expect and Connection fields of HttpWebRequest",
                  ("Content-Type: application/json; charset=utf-8", "Host: {authority}", "Content-Length: {length}",
                   "Expect: 100-continue", "Connection: Keep-Alive"), 0),
    Reconstructed("spring-restclient-jdk", "Spring 6.1 RestClient with the JDK's HttpClient 21", SPRING,
                  ("Connection: Upgrade, HTTP2-Settings", "Host: {authority}", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
                   "Transfer-encoding: chunked", "Upgrade: h2c", "User-Agent: Java-http-client/21.0.3", "Content-Type: application/json")),
    Reconstructed("spring-resttemplate-simple", "Spring 6.1 RestTemplate with HttpURLConnection of Java 21", SPRING,
                  ("Accept: text/plain, application/json, application/*+json, */*", "Content-Type: application/json",
                   "User-Agent: Java/21.0.3", "Host: {authority}", "Connection: keep-alive", "Transfer-Encoding: chunked")),
]
