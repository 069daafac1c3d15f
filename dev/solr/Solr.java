import org.apache.solr.embedded.JettyConfig;
import org.apache.solr.embedded.JettySolrRunner;

/** A Solr server for development: {@code java -cp 'lib/*' Solr.java HOME PORT}. */
public class Solr {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[1]);
        JettyConfig config = JettyConfig.builder().setContext("/solr").setPort(port).build();
        // Returns when all cores have been loaded.
        new JettySolrRunner(arguments[0], config).start();
        System.out.println("ready");
    }
}
