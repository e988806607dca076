/* java Client.java CASE BASE TASK: sends requests with the JDK's two clients, Apache HttpClient and OkHttp, and with the JDK's client as
 * Spring's RestClient uses it. `versions` prints their versions. */
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Flow;

import okhttp3.MediaType;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okio.BufferedSink;
import org.apache.http.client.methods.HttpGet;
import org.apache.http.client.methods.HttpPost;
import org.apache.http.entity.ContentType;
import org.apache.http.entity.InputStreamEntity;
import org.apache.http.entity.StringEntity;
import org.apache.http.impl.client.CloseableHttpClient;
import org.apache.http.impl.client.HttpClients;
import org.apache.http.util.EntityUtils;

public class Client {
    private static final String LAST = "1700000000000-2";
    private final String base, post, follow, queue, body;

    Client(String base, String task) {
        this.base = base;
        post = base + "/api/v1/faceflip/generate/stream";
        follow = base + "/api/v1/faceflip/tasks/" + task + "/stream";
        queue = base + "/api/v1/faceflip/queue";
        body = "{\"urls\":[\"https://example.com/a.jpg\",\"https://example.com/b.jpg\"],\"task_id\":\"" + task
            + "\",\"prompt\":\"换脸\"}";
    }

    private byte[] bytes() {
        return body.getBytes(StandardCharsets.UTF_8);
    }

    private InputStream stream() {
        return new ByteArrayInputStream(bytes());
    }

    // -- java.net.http

    private static void send(HttpClient client, HttpRequest.Builder request) throws Exception {
        client.send(request.build(), BodyHandlers.ofString());
    }

    private HttpRequest.Builder to(String url) {
        return HttpRequest.newBuilder(URI.create(url));
    }

    private HttpRequest.Builder posting(BodyPublisher publisher) {
        return to(post).header("Content-Type", "application/json").POST(publisher);
    }

    /* Like Spring's JdkClientHttpRequest: a publisher of unknown length. */
    private BodyPublisher publisher() {
        Flow.Publisher<ByteBuffer> one = subscriber -> subscriber.onSubscribe(new Flow.Subscription() {
            private boolean done;

            @Override
            public void request(long n) {
                if (!done) {
                    done = true;
                    subscriber.onNext(ByteBuffer.wrap(bytes()));
                    subscriber.onComplete();
                }
            }

            @Override
            public void cancel() {
                done = true;
            }
        });
        return BodyPublishers.fromPublisher(one);
    }

    private HttpClient plain() {
        return HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    }

    private HttpClient proxied() {
        URI uri = URI.create(base);
        return HttpClient.newBuilder().proxy(ProxySelector.of(new InetSocketAddress(uri.getHost(), uri.getPort()))).build();
    }

    // -- HttpURLConnection

    private interface Mode {
        void set(HttpURLConnection connection);
    }

    private void urlConnection(Mode mode) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) new URL(post).openConnection();
        connection.setRequestMethod("POST");
        connection.setRequestProperty("Content-Type", "application/json");
        connection.setDoOutput(true);
        mode.set(connection);
        try (OutputStream out = connection.getOutputStream()) {
            out.write(bytes());
        }
        read(connection);
    }

    private static void read(HttpURLConnection connection) throws IOException {
        try (InputStream in = connection.getInputStream()) {
            in.readAllBytes();
        }
    }

    private void urlConnectionGet(String url, String last) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
        if (last != null)
            connection.setRequestProperty("Last-Event-ID", last);
        read(connection);
    }

    // -- Apache HttpClient

    private void apache(org.apache.http.HttpEntity entity) throws IOException {
        try (CloseableHttpClient client = HttpClients.createDefault()) {
            HttpPost request = new HttpPost(post);
            request.setEntity(entity);
            EntityUtils.consume(client.execute(request).getEntity());
        }
    }

    private void apacheGets(String url, String last, int times) throws IOException {
        try (CloseableHttpClient client = HttpClients.createDefault()) {
            for (int i = 0; i < times; i++) {
                HttpGet request = new HttpGet(url);
                if (last != null)
                    request.setHeader("Last-Event-ID", last);
                EntityUtils.consume(client.execute(request).getEntity());
            }
        }
    }

    // -- OkHttp

    private void okhttp(RequestBody content) throws IOException {
        new OkHttpClient().newCall(new Request.Builder().url(post).post(content).build()).execute().body().string();
    }

    private RequestBody unknownLength() {
        return new RequestBody() {
            @Override
            public MediaType contentType() {
                return MediaType.get("application/json");
            }

            @Override
            public void writeTo(BufferedSink sink) throws IOException {
                sink.write(bytes());
            }
        };
    }

    private void okhttpGets(String url, String last, int times) throws IOException {
        OkHttpClient client = new OkHttpClient();
        for (int i = 0; i < times; i++) {
            Request.Builder request = new Request.Builder().url(url);
            if (last != null)
                request.header("Last-Event-ID", last);
            client.newCall(request.build()).execute().body().string();
        }
    }

    private static void versions() {
        System.out.printf("{\"java\":\"%s\",\"apache\":\"4.5.14\",\"okhttp\":\"%s\"}%n", System.getProperty("java.version"),
                          okhttp3.internal.Version.userAgent().replace("okhttp/", ""));
    }

    private void run(String name) throws Exception {
        HttpClient client = HttpClient.newHttpClient();

        switch (name) {
        case "versions" -> versions();
        case "httpclient-post" -> send(client, posting(BodyPublishers.ofString(body)));
        case "httpclient-chunked" -> send(client, posting(BodyPublishers.ofInputStream(this::stream)));
        case "httpclient-1.1-post" -> send(plain(), posting(BodyPublishers.ofString(body)));
        case "httpclient-1.1-chunked" -> send(plain(), posting(BodyPublishers.ofInputStream(this::stream)));
        case "httpclient-expect" -> send(plain(), posting(BodyPublishers.ofString(body)).expectContinue(true));
        case "httpclient-resume" -> send(client, to(follow).header("Last-Event-ID", LAST).header("Accept", "text/event-stream"));
        case "httpclient-twice" -> {
            send(client, to(queue));
            send(client, to(queue));
        }
        case "httpclient-proxy" -> send(proxied(), posting(BodyPublishers.ofString(body)));
        case "urlconnection-post" -> urlConnection(connection -> { });
        case "urlconnection-chunked" -> urlConnection(connection -> connection.setChunkedStreamingMode(0));
        case "urlconnection-fixed" -> urlConnection(connection -> connection.setFixedLengthStreamingMode(bytes().length));
        case "urlconnection-resume" -> urlConnectionGet(follow, LAST);
        case "urlconnection-twice" -> {
            urlConnectionGet(queue, null);
            urlConnectionGet(queue, null);
        }
        case "apache-post" -> apache(new StringEntity(body, ContentType.APPLICATION_JSON));
        case "apache-chunked" -> apache(new InputStreamEntity(stream(), ContentType.APPLICATION_JSON));
        case "apache-resume" -> apacheGets(follow, LAST, 1);
        case "apache-twice" -> apacheGets(queue, null, 2);
        case "okhttp-post" -> okhttp(RequestBody.create(MediaType.get("application/json; charset=utf-8"), body));
        case "okhttp-chunked" -> okhttp(unknownLength());
        case "okhttp-resume" -> okhttpGets(follow, LAST, 1);
        case "okhttp-twice" -> okhttpGets(queue, null, 2);
        case "spring-jdk-chunked" -> send(client, to(post).header("Accept", "text/event-stream")
                                          .header("Content-Type", "application/json").POST(publisher()));
        default -> throw new IllegalArgumentException(name);
        }
    }

    public static void main(String[] args) throws Exception {
        new Client(args.length > 1 ? args[1] : "http://x", args.length > 2 ? args[2] : "").run(args[0]);
        System.exit(0); // the clients' threads would keep the process alive for a while
    }
}
