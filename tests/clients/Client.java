import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Client URL: GET with java.net.http, whose proxy is that of -Dhttp.proxyHost and -Dhttp.proxyPort. */
public class Client {
    public static void main(String[] words) throws Exception {
        // The default client offers an upgrade to HTTP/2 with every plain request.
        HttpClient client = HttpClient.newHttpClient();
        HttpRequest request = HttpRequest.newBuilder(URI.create(words[0])).build();
        for (int turn = 0; turn < 2; turn++) {
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.print(answer.statusCode() + " " + answer.body());
        }
    }
}
