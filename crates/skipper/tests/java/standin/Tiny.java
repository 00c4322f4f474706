package standin;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Stands in for a Spring Boot application, as far as a deployer can see one: it takes its properties as arguments, from
 * SPRING_APPLICATION_JSON, the environment or -D, listens on server.port, and answers the actuator's paths.
 *
 * Switches: tiny.greeting (text of /greeting), tiny.start-delay (ms before it listens), tiny.answer-delay (ms before each answer),
 * tiny.kill-delay (ms until it dies with status 3), tiny.health (UP or DOWN), tiny.actuator (boot2, boot1 or off).
 */
public final class Tiny {
    private static final Pattern MEMBER =
            Pattern.compile("\"((?:[^\"\\\\]|\\\\.)*)\"\\s*:\\s*(?:\"((?:[^\"\\\\]|\\\\.)*)\"|([^,}\\s]+))");

    private final Map<String, String> properties = new HashMap<>();
    private final String version;

    private Tiny(String[] args) {
        String stated = Tiny.class.getPackage().getImplementationVersion();
        version = stated == null ? "unknown" : stated;
        // A flat object is all that a deployer writes there.
        Matcher members = MEMBER.matcher(System.getenv().getOrDefault("SPRING_APPLICATION_JSON", ""));
        while (members.find()) {
            properties.put(members.group(1), members.group(2) == null ? members.group(3) : unescaped(members.group(2)));
        }
        for (String arg : args) {
            int at = arg.indexOf('=');
            if (arg.startsWith("--") && at > 2) {
                properties.put(arg.substring(2, at), arg.substring(at + 1));
            }
        }
    }

    private static String unescaped(String text) {
        return text.replaceAll("\\\\(.)", "$1");
    }

    private String property(String key, String otherwise) {
        String given = properties.get(key);
        if (given == null) {
            given = System.getenv(key.toUpperCase(Locale.ROOT).replace('.', '_').replace("-", ""));
        }
        return given == null ? System.getProperty(key, otherwise) : given;
    }

    private long millis(String key, long otherwise) {
        return Long.parseLong(property(key, Long.toString(otherwise)));
    }

    public static void main(String[] args) throws Exception {
        // Without it each answer waits for the other side's delayed acknowledgement.
        System.setProperty("sun.net.httpserver.nodelay", "true");
        new Tiny(args).run(args);
    }

    private void run(String[] args) throws Exception {
        int port = Integer.parseInt(property("server.port", "8080"));
        say("tiny " + version + " port=" + port + " args=" + String.join(" ", args));
        String json = System.getenv("SPRING_APPLICATION_JSON");
        if (json != null) {
            say("tiny SPRING_APPLICATION_JSON=" + json);
        }
        long kill = millis("tiny.kill-delay", -1);
        if (kill >= 0) {
            Thread killer = new Thread(() -> {
                pause(kill);
                System.err.println("tiny " + version + " dies, as it was told");
                Runtime.getRuntime().halt(3);
            });
            killer.setDaemon(true);
            killer.start();
            if (kill == 0) {
                killer.join();
            }
        }
        pause(millis("tiny.start-delay", 0));
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 128);
        server.createContext("/", this::answer);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
        long up = System.currentTimeMillis() - java.lang.management.ManagementFactory.getRuntimeMXBean().getStartTime();
        say("tiny " + version + " listening after " + up + " ms");
    }

    private void answer(HttpExchange exchange) throws IOException {
        pause(millis("tiny.answer-delay", 0));
        String path = exchange.getRequestURI().getPath();
        String actuator = property("tiny.actuator", "boot2");
        String prefix = actuator.equals("boot1") ? "" : "/actuator";
        boolean post = exchange.getRequestMethod().equals("POST");
        if (path.equals("/")) {
            reply(exchange, 200, "text/plain", "tiny " + version + " pid " + ProcessHandle.current().pid());
        } else if (path.equals("/greeting")) {
            reply(exchange, 200, "text/plain", property("tiny.greeting", "hello"));
        } else if (path.equals("/version")) {
            reply(exchange, 200, "text/plain", version);
        } else if (path.equals("/fail")) {
            reply(exchange, 500, "text/plain", "as you asked");
        } else if (!actuator.equals("off") && path.equals(prefix + "/health")) {
            String health = property("tiny.health", "UP");
            reply(exchange, health.equals("UP") ? 200 : 503, "application/json", "{\"status\":\"" + health + "\"}");
        } else if (!actuator.equals("off") && post && path.equals(prefix + "/shutdown")) {
            reply(exchange, 200, "application/json", "{\"message\":\"Shutting down, bye...\"}");
            say("tiny " + version + " was asked to shut down");
            new Thread(() -> System.exit(0)).start();
        } else if (!actuator.equals("off") && path.startsWith("/actuator/")) {
            String told = exchange.getRequestHeaders().getFirst("Authorization");
            String login = told == null ? "" : ",\"authorization\":\"" + told + "\"";
            reply(exchange, 200, "application/json", "{\"app\":\"tiny\",\"path\":\"" + path + "\"" + login + "}");
        } else {
            reply(exchange, 404, "text/plain", "nothing here");
        }
    }

    private static void reply(HttpExchange exchange, int status, String type, String text) throws IOException {
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        exchange.getRequestBody().readAllBytes();
        exchange.getResponseHeaders().set("Content-Type", type);
        exchange.sendResponseHeaders(status, body.length);
        try (OutputStream out = exchange.getResponseBody()) {
            out.write(body);
        }
    }

    private static void say(String line) {
        System.out.println(line);
    }

    private static void pause(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
