import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.ProcessBuilder.Redirect;

/** A client in Java: `epb pipe` keeps the secret, the connection and the leases. */
public final class Client {
    private final PrintWriter requests;
    private final BufferedReader replies;

    private Client() throws IOException {
        Process broker = new ProcessBuilder("epb", "pipe").redirectError(Redirect.INHERIT).start();
        requests = new PrintWriter(broker.outputWriter(), true);
        replies = broker.inputReader();
    }

    private String ask(String request) throws IOException {
        requests.println(request);
        return replies.readLine();
    }

    public static void main(String[] args) throws IOException {
        Client client = new Client();
        client.ask("{\"action\":\"set\",\"key\":\"greeting\",\"value\":\"hello\",\"ttl\":60000}");
        System.out.println(client.ask("{\"action\":\"get\",\"key\":\"greeting\"}"));
        client.requests.close();
    }
}
